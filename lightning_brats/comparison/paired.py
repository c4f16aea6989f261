"""Every pair of choices: difference, interval, tests, size of the effect.

The unit of all tests is the patient, with the runs of a choice averaged. Such a test says that two
sets of trained networks differ, and with a lucky seed they do. So a difference counts as shown only
where a second test agrees that adds what seeds change to the error: the larger of the two p-values
is the one that is corrected (an intersection–union test, which keeps the rate of false alarms).

Shapes: `P` patients, `S` runs of a choice, `K` pairs, `N` permutations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from lightning_brats.comparison.alignment import Aligned, Cell
from lightning_brats.comparison.bootstrap import interval, resampled
from lightning_brats.comparison.settings import Settings
from lightning_brats.comparison.uncertainty import Pool, of_difference, p_value

EXACT = 12
"""Up to so many patients all 2ᴾ flips of signs are tried."""
CHUNK = 1000
"""Permutations at a time."""


def compare_pairs(aligned: Aligned, settings: Settings) -> pd.DataFrame:
    """All pairs of choices on all regions and metrics.

    Returns:
        Columns a, b, region, metric, difference, advantage, low, high, p_wilcoxon, p_permutation,
        p_seeds, p_holm, effect, p_better, n, significant. `p_seeds` tests the mean with the error
        of patients and seeds; `p_holm` corrects the larger of it and `p_wilcoxon` over all rows, or
        over those with the baseline where one is named: it is NaN for the others, which were not
        asked about.
    """
    rows = [
        row
        for number, cell in enumerate(aligned.cells)
        for row in _cell_rows(cell, aligned.choices, settings, number)
    ]
    table = pd.DataFrame(rows)
    if settings.baseline is not None:
        asked = (table[["a", "b"]] == settings.baseline).any(axis=1)
        table["p_joint"] = table["p_joint"].where(asked)
    table["p_holm"] = holm(table.pop("p_joint").to_numpy(float))
    table["significant"] = table["p_holm"] < settings.alpha
    names = ["a", "b", "region", "metric", "difference", "advantage", "low", "high", "p_wilcoxon"]
    names += ["p_permutation", "p_seeds", "p_holm", "effect", "p_better", "n", "significant"]
    return table[names]


def wilcoxon(differences: np.ndarray) -> float:
    """Two-sided signed-rank test of (P,) differences; 1 where all are 0, NaN with one patient."""
    if len(differences) < 2:
        return float("nan")
    if not differences.any():
        return 1.0
    return float(stats.wilcoxon(differences).pvalue)


def sign_flip(differences: np.ndarray, permutations: int, rng: np.random.Generator) -> np.ndarray:
    """Two-sided p-values of (P, K) differences with mean 0, by flipping the signs of patients.

    Exact for up to `EXACT` patients; else the estimate that counts the observed data as one of the
    permutations (Phipson & Smyth, Stat Appl Genet Mol Biol 9:39, 2010), never 0.

    Returns:
        (K,), NaN with one patient.
    """
    patients = len(differences)
    if patients < 2:
        return np.full(differences.shape[1], np.nan)
    seen = np.abs(differences.sum(0)) * (1 - 1e-9)  # sums in another order round otherwise
    exact = patients <= EXACT
    flips = _all_signs(patients) if exact else _random_signs(patients, permutations, rng)
    count, total = np.zeros(differences.shape[1]), 0
    for signs in flips:
        count += (np.abs(signs @ differences) >= seen).sum(0)
        total += len(signs)
    return count / total if exact else (count + 1) / (total + 1)


def holm(p_values: np.ndarray) -> np.ndarray:
    """Corrected for a family of tests (Holm, Scand J Stat 6:65, 1979); NaN stays outside it."""
    corrected = np.full(len(p_values), np.nan)
    order = np.argsort(p_values)[: np.isfinite(p_values).sum()]
    steps = p_values[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return corrected


def joint_p(a: np.ndarray, b: np.ndarray, pool: Pool) -> tuple[float, float, float]:
    """Tests of (P, S) against (P, S') values.

    Args:
        a: Of one choice.
        b: Of the other, same patients.
        pool: What runs change.

    Returns:
        p of the signed-rank test, of the test with seeds, and the one to decide by: the larger, or
        1 where ranks and mean point to different choices.
    """
    differences = a.mean(1) - b.mean(1)
    ranked = wilcoxon(differences)
    seeds = p_value(float(differences.mean()), of_difference(a, b, pool))
    ranks = stats.rankdata(np.abs(differences)) * np.sign(differences)
    agree = ranks.sum() * differences.mean() >= 0
    return ranked, seeds, float(np.fmax(ranked, seeds)) if agree else 1.0


def _cell_rows(
    cell: Cell, choices: Sequence[str], settings: Settings, number: int
) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng([settings.seed, number])
    means, pool = cell.means, Pool.of(cell.values)
    drawn = resampled(cell.values, pool, settings.resamples, rng)
    pairs = list(combinations(range(len(choices)), 2))
    differences = np.stack([means[:, a] - means[:, b] for a, b in pairs], 1)
    permuted = sign_flip(differences, settings.permutations, rng)
    for k, (a, b) in enumerate(pairs):
        first, second = cell.values[a], cell.values[b]
        own = differences[:, k]
        mean = float(own.mean())
        low, high = interval(drawn[a] - drawn[b], mean, of_difference(first, second, pool))
        ranked, seeds, joint = joint_p(first, second, pool)
        spread = own.std(ddof=1) if len(own) > 1 else np.nan
        yield {
            "a": choices[a],
            "b": choices[b],
            "region": cell.region,
            "metric": cell.metric,
            "difference": mean,
            "advantage": cell.sign * mean,
            "low": low,
            "high": high,
            "p_wilcoxon": ranked,
            "p_permutation": float(permuted[k]),
            "p_seeds": seeds,
            "p_joint": joint,
            "effect": cell.sign * mean / spread if spread > 0 else np.nan,
            "p_better": better(first, second, cell.sign),
            "n": len(own),
        }


def better(a: np.ndarray, b: np.ndarray, sign: int) -> float:
    """Chance that a run of `a` beats one of `b` on a patient; ties count half.

    Args:
        a: (P, S).
        b: (P, S').
        sign: 1 where higher is better, else −1.
    """
    ahead = np.sign(sign * (a[:, :, None] - b[:, None, :]))
    return float((ahead.mean() + 1) / 2)


def _all_signs(patients: int) -> Iterator[np.ndarray]:
    """(N, P) of 1 and −1."""
    bits = np.arange(2**patients)[:, None] >> np.arange(patients) & 1
    yield 1.0 - 2.0 * bits


def _random_signs(
    patients: int, permutations: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    for start in range(0, permutations, CHUNK):
        size = min(CHUNK, permutations - start), patients
        yield 1.0 - 2.0 * rng.integers(0, 2, size)
