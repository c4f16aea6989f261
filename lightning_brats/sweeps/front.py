"""The best of a study: one trial, or with several objectives the Pareto front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lightning_brats.sweeps.entries import Entry


def front(found: Sequence[Entry], objectives: Mapping[str, str]) -> list[Entry]:
    """Finished entries that no other beats in one objective without losing in another."""
    done = [entry for entry in found if entry.state == "done"]
    losses = {entry.root: _losses(entry, objectives) for entry in done}
    return [
        entry
        for entry in done
        if not any(_dominates(losses[other.root], losses[entry.root]) for other in done)
    ]


def best(found: Sequence[Entry], objectives: Mapping[str, str]) -> Entry | None:
    """The finished entry that is best in the first objective; the earliest of equals."""
    done = [entry for entry in found if entry.state == "done"]
    return min(done, key=lambda entry: _losses(entry, objectives)[0], default=None)


def _losses(entry: Entry, objectives: Mapping[str, str]) -> list[float]:
    signs = [-1 if direction == "maximize" else 1 for direction in objectives.values()]
    return [sign * value for sign, value in zip(signs, entry.trial.values, strict=True)]


def _dominates(one: list[float], other: list[float]) -> bool:
    pairs = list(zip(one, other, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)
