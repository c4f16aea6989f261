"""What a comparison found, as plain tables that page, files and trackers read alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lightning_brats.comparison.entry import Entry
from lightning_brats.comparison.settings import Settings

COSTS = (
    "parameters",
    "gflops_per_patch",
    "train_seconds",
    "inference_seconds_per_case",
    "peak_memory_mb",
    "energy_kwh",
)
"""Columns of cost; less is better in all of them."""

FRAMES = (
    "scores",
    "summary",
    "pairs",
    "ranking",
    "variance",
    "power",
    "interactions",
    "cost",
    "subgroups",
    "histories",
)
"""Names of the tables of a `Comparison`."""


@dataclass(frozen=True)
class Comparison:
    """Everything a comparison found.

    Differences and intervals are in the metric's unit. A choice is one of the things compared.

    Args:
        choices: Best first.
        baseline: The choice the others are set against, where one was named.
        warnings: What a reader has to know before believing anything.
        notes: How values were treated, and which tests were made.
        scores: choice, seed, fold, case, patient, region, metric, value.
        summary: choice, region, metric, mean, median, q25, q75, sd_cases, sd_seeds, low, high,
            n_cases, n_seeds; `sd_seeds` is NaN with one seed.
        pairs: a, b, region, metric, difference (a − b), advantage (> 0 where a is better), low,
            high (both of the difference), p_wilcoxon, p_permutation, p_holm, effect (Cohen's d_z,
            > 0 where a is better), p_better, n (patients), significant.
        ranking: choice, rank, low, high, p_next, first_share; best first.
        critical: `ranks` (choice → mean rank), `cd`, `groups` (lists of choices not told apart),
            `statistic`, `p`, `n`, `alpha`; empty with fewer than three choices.
        variance: region, metric, component (seed, fold, case, choice, residual), share.
        power: a, b, region, metric, detectable, cases_needed, seeds_needed.
        interactions: factor_a, factor_b, region, metric, f, p, share; empty without a grid.
        cost: choice, the columns of `COSTS`, score; `least_`, `most_` and `pareto_<cost>` for each.
        subgroups: group, level, choice, region, metric, mean, n, best, p_holm.
        verdicts: Sentences, the most important first.
        histories: choice, seed, fold, epoch, step, seconds_total, name, value.
        entries: What was compared.
        settings: How.
    """

    choices: tuple[str, ...]
    baseline: str | None
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    scores: pd.DataFrame
    summary: pd.DataFrame
    pairs: pd.DataFrame
    ranking: pd.DataFrame
    critical: Mapping[str, Any]
    variance: pd.DataFrame
    power: pd.DataFrame
    interactions: pd.DataFrame
    cost: pd.DataFrame
    subgroups: pd.DataFrame
    verdicts: tuple[str, ...]
    histories: pd.DataFrame
    entries: tuple[Entry, ...]
    settings: Settings
