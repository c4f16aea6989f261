"""Who is first: the BraTS challenges' ranking, and the critical difference of mean ranks.

The challenges rank the participants on every case, region and metric, and average these ranks; two
participants are told apart by permuting them case by case (Bakas et al., arXiv:1811.02629, 2018).
The critical difference is Nemenyi's after Friedman's test (Demšar, JMLR 7:1, 2006).

Shapes: `P` patients, `C` choices, `B` resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from lightning_brats.comparison.alignment import Aligned
from lightning_brats.comparison.bootstrap import shares
from lightning_brats.comparison.paired import sign_flip
from lightning_brats.comparison.settings import Settings

SEED_DRAWS = 100
"""Draws of runs, each with its share of the draws of patients: ranking anew is what takes time."""


def rank_choices(aligned: Aligned, settings: Settings) -> pd.DataFrame:
    """Columns choice, rank, low, high, p_next, first_share; best first.

    `low` and `high` hold 95 % of the resamples of patients and runs, `first_share` is the share of
    them in which the choice is first, `p_next` belongs to the permutation test over patients
    against the next choice; NaN for the last.
    """
    rng = np.random.default_rng([settings.seed, 1_000_000])
    names, ranks = _patient_ranks(aligned, [cell.means for cell in aligned.cells])
    mean = ranks.mean(0)
    order = np.argsort(mean, kind="stable")
    drawn = _resampled_ranks(aligned, len(names), settings.resamples, rng)
    leads = np.stack([ranks[:, b] - ranks[:, a] for a, b in pairwise(order)], 1)
    p_next = sign_flip(leads, settings.permutations, rng)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    first = np.isclose(drawn, drawn.min(1, keepdims=True))
    first_share = (first / first.sum(1, keepdims=True)).mean(0)
    return pd.DataFrame(
        {
            "choice": [aligned.choices[i] for i in order],
            "rank": mean[order],
            "low": low[order],
            "high": high[order],
            "p_next": [*p_next, np.nan],
            "first_share": first_share[order],
        }
    )


def critical_difference(aligned: Aligned, alpha: float) -> dict[str, Any]:
    """Friedman's test over patients, and which choices Nemenyi's does not tell apart.

    A patient's block holds the choices' ranks averaged over regions and metrics, ranked again.

    Returns:
        `ranks` (choice → mean rank, best first), `cd`, `groups` (maximal lists of choices that lie
        within it, each best first), `statistic` and `p` of Friedman's test (`None` with two
        choices), `n` patients, `alpha`. Where Friedman's test finds nothing, all are one group.
    """
    _, scores = _patient_ranks(aligned, [cell.means for cell in aligned.cells])
    ranks = stats.rankdata(scores, axis=1)
    count, patients = len(aligned.choices), len(ranks)
    mean = ranks.mean(0)
    order = np.argsort(mean, kind="stable")
    quantile = stats.studentized_range.isf(alpha, count, np.inf) / np.sqrt(2)
    cd = float(quantile * np.sqrt(count * (count + 1) / (6 * patients)))
    statistic = p = None
    if count > 2 and patients > 1:
        found = stats.friedmanchisquare(*ranks.T)
        statistic, p = float(found.statistic), float(np.nan_to_num(found.pvalue, nan=1.0))
    ordered = [aligned.choices[i] for i in order]
    together = p is not None and p >= alpha
    return {
        "ranks": {aligned.choices[i]: float(mean[i]) for i in order},
        "cd": cd,
        "groups": [ordered] if together else _groups(ordered, mean[order], cd),
        "statistic": statistic,
        "p": p,
        "n": patients,
        "alpha": alpha,
    }


def _groups(names: Sequence[str], ranks: np.ndarray, cd: float) -> list[list[str]]:
    """Longest stretches of neighbours within the critical difference, two or more each."""
    found: list[list[str]] = []
    reached = 0
    for start in range(len(names)):
        end = int(np.searchsorted(ranks, ranks[start] + cd, side="right"))
        if end - start > 1 and end > reached:
            found.append(list(names[start:end]))
        reached = max(reached, end)
    return found


def _patient_ranks(aligned: Aligned, means: Sequence[np.ndarray]) -> tuple[list[str], np.ndarray]:
    """Names of the patients, and (P, C) ranks averaged over the cells that each is in.

    Args:
        aligned: Whose cells they are.
        means: One (P, C) a cell.
    """
    names = sorted({patient for cell in aligned.cells for patient in cell.patients})
    place = {name: number for number, name in enumerate(names)}
    total = np.zeros((len(names), len(aligned.choices)))
    count = np.zeros((len(names), 1))
    for cell, values in zip(aligned.cells, means, strict=True):
        rows = [place[name] for name in cell.patients]
        total[rows] += stats.rankdata(-cell.sign * values, axis=1)
        count[rows] += 1
    return names, total / count


def _resampled_ranks(
    aligned: Aligned, patients: int, resamples: int, rng: np.random.Generator
) -> np.ndarray:
    """(B, C) mean ranks; a draw of runs holds for all cells."""
    draws = SEED_DRAWS if any(len(runs) > 1 for runs in aligned.runs) else 1
    parts = []
    for size in (len(part) for part in np.array_split(np.arange(resamples), draws)):
        weights = [shares(len(runs), 1, rng)[0] for runs in aligned.runs]
        means = [
            np.stack([v @ w for v, w in zip(cell.values, weights, strict=True)], 1)
            for cell in aligned.cells
        ]
        parts.append(shares(patients, size, rng) @ _patient_ranks(aligned, means)[1])
    return np.concatenate(parts)
