"""Intervals by resampling patients, with the runs of each choice resampled inside.

Resampling two or three runs of a choice knows too little of what runs change, so their deviations
are drawn from those of all choices, scaled to the variance that is used for the choice. Percentile
intervals of small samples are too narrow besides; they are expanded to the half width that the
degrees of freedom ask for (Hesterberg, The American Statistician 69:371, 2015, and `uncertainty`).

Shapes: `P` patients, `S` runs of a choice, `C` choices, `B` resamples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from lightning_brats.comparison.uncertainty import Error, Pool

Interval = tuple[float, float]


def shares(count: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """(B, count): which share of each resample every unit makes up."""
    return rng.multinomial(count, np.full(count, 1 / count), resamples) / count


def resampled(
    values: Sequence[np.ndarray], pool: Pool, resamples: int, rng: np.random.Generator
) -> np.ndarray:
    """Means of every choice in every resample.

    Args:
        values: One (P, S) a choice; the choices share the patients drawn, not the runs.
        pool: What runs change.
        resamples: B.
        rng: Source of chance.

    Returns:
        (C, B).
    """
    means = np.stack([own.mean(1) for own in values], 1)  # (P, C)
    patients = shares(len(means), resamples, rng) @ _inflated(means)  # (B, C)
    luck = [_luck(own, values, pool, resamples, rng) for own in values]
    return patients.T + np.stack(luck)


def interval(means: np.ndarray, estimate: float, error: Error, level: float = 0.95) -> Interval:
    """Expanded percentile interval.

    Args:
        means: (B,) resampled estimates.
        estimate: What they are estimates of.
        error: Of the estimate; says how wide the interval has to be.
        level: Of confidence.

    Returns:
        Low and high; NaN with one patient.
    """
    if error.n < 2:
        return float("nan"), float("nan")
    tail = (1 - level) / 2
    normal = stats.norm.isf(tail) * error.standard
    wider = error.half_width(1 - level) / normal if normal > 0 else 1.0
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(estimate + (low - estimate) * wider), float(estimate + (high - estimate) * wider)


def _inflated(means: np.ndarray) -> np.ndarray:
    """Deviations of (P, C) from their means, so that resampling gives the unbiased variance."""
    count = len(means)
    if count < 2:
        return means
    return means.mean(0) + (means - means.mean(0)) * np.sqrt(count / (count - 1))


def _luck(
    own: np.ndarray,
    values: Sequence[np.ndarray],
    pool: Pool,
    resamples: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """(B,) what other runs would change of a choice's mean."""
    if not pool.variance > 0:
        return np.zeros(resamples)
    runs = [each.mean(0) for each in values if each.shape[1] > 1]
    deviations = np.concatenate([each - each.mean() for each in runs])
    deviations *= np.sqrt(pool.used(own) / np.mean(deviations**2))
    drawn = rng.choice(deviations, (resamples, own.shape[1]))
    return drawn.mean(1)
