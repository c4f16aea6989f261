"""Where scores vary: between patients, choices, folds, seeds, and what is left.

Components of a model with random effects, estimated from mean squares (Searle, Casella & McCulloch,
Variance Components, 1992): value = mean + patient + choice + fold + seed within choice + rest. The
rest holds what is particular to a patient and a choice, and to a patient and a run.

Shapes: `P` patients, `S` runs of a choice, `C` choices, `N` runs in all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lightning_brats.comparison.alignment import Aligned, Cell

COMPONENTS = ("seed", "fold", "case", "choice", "residual")


def variance_shares(aligned: Aligned) -> pd.DataFrame:
    """Columns region, metric, component, share; NaN where a component cannot be estimated.

    Without a second seed of any choice, seeds cannot be told from choices; without a second fold,
    there is no part of folds.
    """
    folds = [[entry.fold for entry in runs] for runs in aligned.runs]
    rows = []
    for cell in aligned.cells:
        parts = components(cell, folds)
        total = np.nansum(list(parts.values()))
        rows += [
            (cell.region, cell.metric, name, parts[name] / total if total > 0 else np.nan)
            for name in COMPONENTS
        ]
    return pd.DataFrame(rows, columns=["region", "metric", "component", "share"])


def components(cell: Cell, folds: Sequence[Sequence[int | None]]) -> dict[str, float]:
    """Variance of each component, 0 where the estimate is negative.

    Args:
        cell: Values.
        folds: Of each run, choice by choice.
    """
    values = cell.values
    sizes = np.array([own.shape[1] for own in values])
    patients, choices, runs = len(values[0]), len(values), int(sizes.sum())
    each = float(runs - (sizes**2).sum() / runs) / (choices - 1)  # runs a choice, if uneven
    noise, both = _rest(values, each)
    residual = both + (0 if np.isnan(noise) else noise)
    within = _case_square(values) - (residual if np.isnan(noise) else noise + each * both)
    seed, fold = _run_parts(values, folds, 0.0 if np.isnan(noise) else noise / patients)
    means = np.array([own.mean() for own in values])
    grand = float((means * sizes).sum() / runs)
    between = float((sizes * (means - grand) ** 2).sum()) / (choices - 1)
    chance = _known(seed) + (_known(noise) + each * both) / patients
    found = {
        "seed": seed,
        "fold": fold,
        "case": within / runs,
        "choice": (between - chance) / each,
        "residual": residual,
    }
    return {name: float(np.maximum(value, 0)) for name, value in found.items()}


def _rest(values: Sequence[np.ndarray], each: float) -> tuple[float, float]:
    """Variance of patient × run within choices (NaN with one run each), and patient × choice."""
    patients = len(values[0])
    if patients < 2:
        return float("nan"), float("nan")
    squares, freedom = 0.0, 0
    for own in values:
        deviation = own - own.mean(0) - own.mean(1, keepdims=True) + own.mean()
        squares += float((deviation**2).sum())
        freedom += (own.shape[1] - 1) * (patients - 1)
    noise = squares / freedom if freedom else float("nan")
    means, sizes = np.stack([own.mean(1) for own in values], 1), [own.shape[1] for own in values]
    overall = np.average(means, axis=1, weights=sizes)
    deviation = means - overall[:, None] - means.mean(0) + overall.mean()
    square = float((sizes * deviation**2).sum()) / ((len(values) - 1) * (patients - 1))
    return noise, max((square - _known(noise)) / each, 0.0)


def _case_square(values: Sequence[np.ndarray]) -> float:
    """Mean square between patients."""
    means = np.concatenate(values, 1).mean(1)
    runs = sum(own.shape[1] for own in values)
    return float(runs * means.var(ddof=1)) if len(means) > 1 else float("nan")


def _run_parts(
    values: Sequence[np.ndarray], folds: Sequence[Sequence[int | None]], noise: float
) -> tuple[float, float]:
    """Variance between seeds and between folds, from the means of runs.

    Args:
        values: One (P, S) a choice.
        folds: Of each run.
        noise: Variance of a run's mean by its patients alone.
    """
    means = np.concatenate([own.mean(0) for own in values])
    choice = np.repeat(np.arange(len(values)), [own.shape[1] for own in values])
    fold = np.array([-1 if number is None else number for own in folds for number in own])
    left, freedom = _least_squares(means, _dummies(choice))
    names, counts = np.unique(fold, return_counts=True)
    if len(names) < 2:
        return (left / freedom - noise if freedom else float("nan")), float("nan")
    fewer, rest = _least_squares(means, np.hstack([_dummies(choice), _dummies(fold)]))
    if rest == 0 or freedom == rest:
        return float("nan"), float("nan")
    seed = fewer / rest
    between = (left - fewer) / (freedom - rest)
    return seed - noise, (between - seed) / counts.mean()


def _least_squares(means: np.ndarray, design: np.ndarray) -> tuple[float, int]:
    """Squares left over, and their degrees of freedom."""
    fitted = design @ np.linalg.lstsq(design, means, rcond=None)[0]
    return float(((means - fitted) ** 2).sum()), len(means) - int(np.linalg.matrix_rank(design))


def _dummies(labels: np.ndarray) -> np.ndarray:
    return (labels[:, None] == np.unique(labels)).astype(float)


def _known(value: float) -> float:
    return 0.0 if np.isnan(value) else max(value, 0.0)
