"""What may be said, in sentences made from the numbers.

A difference is claimed where its corrected test says so, and is given with its interval. Where it
does not, no difference was *shown*: that never reads as equality, and what would have been found
is said beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from lightning_brats.comparison.alignment import Aligned
from lightning_brats.comparison.power import fewest_patients, strictest_level
from lightning_brats.comparison.settings import Settings
from lightning_brats.comparison.verdict_pairs import about_pair, each
from lightning_brats.comparison.words import listed, metric_name, p_text, percent, plural

MOST_SENTENCES = 6
"""Sub-groups and interactions named; the tables hold all."""


def verdicts(
    aligned: Aligned,
    settings: Settings,
    tables: dict[str, pd.DataFrame],
) -> tuple[str, ...]:
    """Sentences, the most important first.

    Args:
        aligned: With the choices best first.
        settings: Names the baseline.
        tables: `pairs`, `ranking`, `power`, `interactions`, `cost` and `subgroups`.
    """
    sentences = [_first(aligned, settings, tables), *_seeds(aligned)]
    sentences += _patients(aligned, settings, tables["pairs"])
    reference = settings.baseline or aligned.choices[0]
    for other in aligned.choices:
        if other != reference:
            sentences += about_pair(aligned, settings, tables, reference, other)
    sentences += _interactions(tables["interactions"], settings)
    sentences += _subgroups(tables["subgroups"], settings)
    return tuple(sentences)


def _first(aligned: Aligned, settings: Settings, tables: dict[str, pd.DataFrame]) -> str:
    """Who leads the ranking, and whether that may be believed."""
    ranking = tables["ranking"]
    leader, second = ranking.iloc[0], ranking.iloc[1]
    scheme = (
        f"mean rank {leader['rank']:.2f} against {second['rank']:.2f} of {second['choice']}, first "
        f"in {percent(leader['first_share'])} of the resamples, {p_text(leader['p_next'])}"
    )
    pairs = tables["pairs"]
    own = pairs[
        pairs[["a", "b"]].isin({leader["choice"], second["choice"]}).all(axis=1)
        & pairs["significant"]
    ]
    stable = leader["first_share"] >= 1 - settings.alpha and leader["p_next"] < settings.alpha
    ahead = own[(own["a"] == leader["choice"]) == (own["advantage"] > 0)]
    if stable and len(ahead):
        return f"{leader['choice']} ranks first ({scheme})."
    if stable:
        return (
            f"{leader['choice']} leads the ranking ({scheme}), but no single difference from "
            f"{second['choice']} withstands correction."
        )
    return f"No choice is shown to be best; {leader['choice']} leads the ranking ({scheme})."


def _seeds(aligned: Aligned) -> Iterator[str]:
    """What is not known where choices were trained once."""
    lone = [c for c, runs in zip(aligned.choices, aligned.runs, strict=True) if len(runs) == 1]
    if len(lone) == len(aligned.choices):
        yield (
            "Seeds are missing: every choice was trained once, so what is said here is about these "
            "trained networks, and another seed may turn it round. Train each with two more seeds."
        )
    elif lone:
        yield (
            f"Seeds are missing of {listed(lone)}: what another one would change is taken to be "
            "as with the other choices."
        )


def _patients(aligned: Aligned, settings: Settings, pairs: pd.DataFrame) -> Iterator[str]:
    """That there are too few patients for the signed-rank test, however large the differences."""
    most = max(len(cell.patients) for cell in aligned.cells)
    fewest = fewest_patients(strictest_level(pairs, settings))
    tests = int(pairs["p_holm"].notna().sum())
    if 1 < most < fewest:
        yield (
            f"With {most} patients, {plural(tests, 'test')} cannot show any difference after "
            f"correction, however large: that takes {fewest} patients, or fewer choices, regions "
            f"and metrics{'' if settings.baseline else ', or a baseline that all are set against'}."
        )


def _interactions(table: pd.DataFrame, settings: Settings) -> Iterator[str]:
    """Whether settings act on their own."""
    for (first, second), rows in table.groupby(["factor_a", "factor_b"], sort=False):
        level = settings.alpha / max(int(rows["p"].notna().sum()), 1)
        shown = rows[rows["p"] < level].sort_values("p").head(MOST_SENTENCES)
        names = [
            f"{metric_name(row['metric'])} of {row['region']} ({p_text(row['p'])}, "
            f"{percent(row['share'])} of the differences)"
            for row in each(shown)
        ]
        if names:
            yield f"What {second} does depends on {first}: shown for {listed(names)}."
        else:
            yield f"No interaction of {first} and {second} is shown."


def _subgroups(table: pd.DataFrame, settings: Settings) -> Iterator[str]:
    """Groups in which one choice stands out."""
    shown = table[(table["p_holm"] < settings.alpha) & (table["metric"] == settings.main)]
    for row in each(shown.sort_values("p_holm").head(MOST_SENTENCES)):
        rival = settings.baseline
        against = rival if rival and rival != row["choice"] else "the second"
        yield (
            f"{row['group'].capitalize()} {row['level']}: {row['choice']} is ahead of {against} on "
            f"{row['region']} ({plural(int(row['n']), 'patient')}, {p_text(row['p_holm'])})."
        )


def joined(sentences: Sequence[str]) -> str:
    """As a list in Markdown."""
    return "\n".join(f"- {sentence}" for sentence in sentences) + "\n"
