"""Scores of a model card: with intervals, by cohort, and what they warn of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lightning_brats.evaluation.summary import summarise
from lightning_brats.report import facts
from lightning_brats.report.run import Run
from lightning_brats.report.tables import FEW, MAIN
from lightning_brats.report.wording import digits, heading, number, plural

METRICS = (*MAIN, "sensitivity", "precision")


def score_rows(
    found: Mapping[str, Any], regions: Sequence[str]
) -> list[tuple[str, str, str, str, str]]:
    """Metric, region, mean with its interval, median, number of cases; as text.

    Args:
        found: What `evaluation.summarise` gave.
        regions: In the order of the table.
    """
    rows = []
    for metric in METRICS:
        for region in regions:
            one = found["regions"].get(region, {}).get(metric)
            if one is not None and one["n"]:
                middle = number(one["median"], digits(metric))
                mean = _mean(one, digits(metric))
                rows.append((heading(metric), region, mean, middle, str(one["n"])))
    return rows


def cohort_rows(run: Run) -> list[tuple[str, list[str]]]:
    """Cohort → number of cases, then mean Dice by region; none where all are of one cohort."""
    groups = run.scores.groupby("cohort", sort=True)
    if groups.ngroups < 2:
        return []
    rows = []
    for name, scores in groups:
        found = summarise(scores)["regions"]
        means = [_mean(found[region]["dice"], digits("dice")) for region in run.regions]
        rows.append((str(name) or "unnamed", [str(scores["case"].nunique()), *means]))
    return rows


def limits(run: Run, patients: int) -> list[str]:
    """What this run's own numbers say about where not to trust it."""
    dice = run.scores[run.scores["metric"] == "dice"]
    means = dice.groupby("case")["value"].mean().dropna().sort_values()
    cohorts = sorted(set(run.scores["cohort"]))
    found = []
    if patients < FEW:
        found.append(f"Tested on {plural(patients, 'patient')}: the scores above are rough.")
    if len(cohorts) == 1 and not run.summary.get("phantom"):
        known = (
            ", which it did not learn from: a third one may be harder."
            if facts.external(run)
            else ": how it does at other hospitals and scanners is not known; usually worse."
        )
        found.append(f"All test cases are of one cohort ({cohorts[0] or 'unnamed'}){known}")
    if len(means) > 1:
        worst = number(float(means.iloc[0]))
        found.append(f"Single cases fail: the worst, {means.index[0]}, has a mean Dice of {worst}.")
    if left := facts.excluded(run):
        found.append(f"{plural(len(left), 'case')} could not be used and were left out.")
    if synthetic := run.summary.get("synthetic_cases"):
        found.append(f"{plural(synthetic, 'case')} of the data were made by a model.")
    if run.split.fold is not None:
        found.append(f"It is one of {run.split.folds} folds and learned from a part of the cases.")
    return found


def _mean(one: Mapping[str, Any], places: int) -> str:
    mean, low, high = (number(one[name], places) for name in ("mean", "low", "high"))
    return mean if one["low"] is None else f"{mean} [{low} to {high}]"
