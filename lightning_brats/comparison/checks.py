"""Whether entries may be compared at all, and what a reader has to be told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from lightning_brats.comparison.entry import Entry
from lightning_brats.comparison.given import worked_out
from lightning_brats.comparison.settings import Settings
from lightning_brats.errors import ConfigError

FINGERPRINT, MODALITIES = "data_fingerprint", "data.modalities"
AGREE = {
    "protocol": "protocol of scoring",
    FINGERPRINT: "data set (fingerprint)",
    "labels": "label coding",
}
"""Facts that have to be the same, as far as known → what they are called."""

SAME_TIME = 0.1
"""Relative difference of training time that counts as one budget."""

PHANTOM = (
    "The scores are on a digital phantom: they mean nothing clinically, and an order of choices "
    "on it need not hold on patients."
)


def check_entries(entries: Sequence[Entry], settings: Settings) -> list[str]:
    """Refuse what is not comparable, or say it.

    Returns:
        Warnings, the gravest first.

    Raises:
        ConfigError: Something does not match, and `on_mismatch` is `refuse`.
    """
    problems = [
        *_different_cases(entries, settings),
        *_leaks(entries),
        *_different_facts(entries),
        *_mixed_phantom(entries),
        *_different_budgets(entries),
        *_repeated(entries),
    ]
    if problems and settings.on_mismatch == "refuse":
        listed = "\n".join(f"  - {problem}" for problem in problems)
        raise ConfigError(
            f"the entries cannot be compared as they are:\n{listed}",
            remedy="leave out or score again what does not match, or say on_mismatch=warn to go "
            "on with this said on every page",
        )
    return [*problems, *_cautions(entries, settings)]


def common_cases(entries: Sequence[Entry]) -> set[str]:
    """Cases that every entry was scored on."""
    return set.intersection(*(set(entry.test_cases) for entry in entries))


def _different_cases(entries: Sequence[Entry], settings: Settings) -> Iterator[str]:
    common = common_cases(entries)
    if not common:
        raise ConfigError(
            "no case was scored in every entry",
            remedy="compare runs with the same split (split.seed, split.file), scored on the same "
            "references",
        )
    uneven = [entry for entry in entries if len(set(entry.test_cases)) > len(common)]
    if uneven and not settings.common_cases:
        counts = ", ".join(f"{e.name}: {len(set(e.test_cases))}" for e in uneven[:4])
        yield (
            f"the test cases differ ({counts}; all have {len(common)} in common); "
            "common_cases=true compares on these"
        )


def _leaks(entries: Sequence[Entry]) -> Iterator[str]:
    """Test cases, or their patients, that some entry was trained on."""
    tested = common_cases(entries)
    owners = {entry.patient(case): case for entry in entries for case in tested}
    seen: set[frozenset[str]] = set()
    for entry in entries:
        trained = {entry.patient(case): case for case in entry.train_cases}
        both = sorted(owners.keys() & trained.keys())
        if both and entry.train_cases not in seen:
            seen.add(entry.train_cases)
            case = owners[both[0]]
            yield (
                f"{entry.name} was trained on test cases: {len(both)} of {len(owners)} patients, "
                f"e.g. {case}; its scores on them say nothing"
            )


def _different_facts(entries: Sequence[Entry]) -> Iterator[str]:
    for key, what in AGREE.items():
        known: dict[str, dict[str, tuple[Any, Entry]]] = {}
        for entry in entries:
            if key in entry.facts:
                # Other modalities of the same cases are a choice, and make another fingerprint.
                seen = entry.settings.get(MODALITIES) if key == FINGERPRINT else None
                values = known.setdefault(repr(seen), {})
                values.setdefault(repr(entry.facts[key]), (entry.facts[key], entry))
        for values in known.values():
            if len(values) > 1:
                (first, one), (second, other) = list(values.values())[:2]
                yield f"the {what} differs: {first} ({one.name}), {second} ({other.name})"


def _mixed_phantom(entries: Sequence[Entry]) -> Iterator[str]:
    known = {entry.facts["phantom"] for entry in entries if "phantom" in entry.facts}
    if len(known) > 1:
        yield "some entries are scored on a digital phantom, others on patients"


def _different_budgets(entries: Sequence[Entry]) -> Iterator[str]:
    """Budgets are equal where epochs, steps or training time are."""
    known = [entry for entry in entries if entry.facts.get("budget")]
    if len(known) < 2 or any(_equal(known, key) for key in ("epochs", "steps", "train_seconds")):
        return
    low = min(known, key=lambda entry: entry.facts["budget"].get("train_seconds", 0))
    high = max(known, key=lambda entry: entry.facts["budget"].get("train_seconds", 0))
    yield (
        f"the training budgets differ in epochs, steps and time: {_budget(low)} ({low.name}), "
        f"{_budget(high)} ({high.name})"
    )


def _equal(entries: Sequence[Entry], key: str) -> bool:
    values = [entry.facts["budget"].get(key) for entry in entries]
    if any(value is None for value in values):
        return False
    slack = SAME_TIME if key == "train_seconds" else 0
    return max(values) - min(values) <= slack * max(values)


def _budget(entry: Entry) -> str:
    known = entry.facts["budget"]
    return ", ".join(f"{known[key]:g} {key.replace('_', ' ')}" for key in known)


def _repeated(entries: Sequence[Entry]) -> Iterator[str]:
    """Runs of one choice that differ in nothing."""
    marked = [(e.choice, e.seed, e.fold) for e in entries if e.seed is not None]
    for (choice, seed, fold), count in Counter(marked).items():
        if count > 1:
            place = f"seed {seed}" + ("" if fold is None else f", fold {fold}")
            yield f"{count} runs of {choice} have {place}: they are no independent trainings"


def _cautions(entries: Sequence[Entry], settings: Settings) -> Iterator[str]:
    """What does not forbid a comparison, but has to be known."""
    if any(entry.facts.get("phantom") for entry in entries):
        yield PHANTOM
    yield from worked_out(entries)
    common = common_cases(entries)
    most = max(len(set(entry.test_cases)) for entry in entries)
    if most > len(common):
        yield f"Compared on the {len(common)} cases that all have; some have up to {most}."
    counts = Counter(entry.choice for entry in entries)
    if min(counts.values()) == 1:
        lone = [choice for choice, count in counts.items() if count == 1]
        known = "taken to be as with the other choices" if len(lone) < len(counts) else "unknown"
        within = "" if len(lone) < len(counts) else " and not in the intervals"
        yield (
            f"Trained once: {', '.join(lone)}. What another seed would change is {known}{within}."
        )
    unknown = [entry.name for entry in entries if not entry.train_cases]
    if unknown:
        yield (
            f"Not known, so not checked, of {', '.join(dict.fromkeys(unknown))}: "
            "training cases and budget."
        )
    for key, what in AGREE.items():
        lacking = [entry.name for entry in entries if key not in entry.facts]
        if lacking and key != "labels" and len(lacking) < len(entries):
            yield f"The {what} of {', '.join(dict.fromkeys(lacking))} is not recorded."
