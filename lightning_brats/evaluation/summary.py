"""Mean, spread and confidence of scores over cases.

Shapes: `P` patients, `S` bootstrap samples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from lightning_brats.metrics import PROTOCOLS

AVERAGED = ("dice", "lesion_dice")
"""Metrics that are also averaged over a case's regions."""
PENALISED = ("hd95",)
"""Metrics whose infinite values count as the challenges' penalty, in mm."""


def summarise(
    scores: pd.DataFrame, protocol: str = "legacy", samples: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Summary of a score table.

    An infinite HD95 (one mask empty) counts as the protocol's penalty, 374 mm or 337 mm, in every
    figure; other infinite values (volume errors without a reference) and undefined ones are left
    out. How many there were of each is stated.

    Args:
        scores: Tidy rows from `evaluate`.
        protocol: The one they were scored with.
        samples: Bootstrap samples.
        seed: Of the bootstrap.

    Returns:
        `cases`, `patients`, `protocol`, `penalty_mm`, and `regions`: region → metric → n, infinite,
        undefined, mean, sd, median, q1, q3, and the 95 % interval of the mean, low and high, from a
        bootstrap over patients, all cases of a patient together. `mean` has the same of Dice and
        lesion-wise Dice, averaged over each case's regions. A figure that cannot be computed is
        `None`.
    """
    penalty = PROTOCOLS[protocol].penalty
    patients = scores["patient"].unique()
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(len(patients), np.full(len(patients), 1 / len(patients)), samples)
    regions: dict[str, dict[str, Any]] = {}
    for (region, metric), rows in scores.groupby(["region", "metric"], sort=False):
        values = rows["value"].to_numpy(float)
        infinite = np.isinf(values)
        used = np.where(infinite, penalty if metric in PENALISED else np.nan, values)
        keep = np.isfinite(used)
        place = pd.Index(patients).get_indexer(rows["patient"])
        regions.setdefault(region, {})[metric] = {
            "n": int(keep.sum()),
            "infinite": int(infinite.sum()),
            "undefined": int(np.isnan(values).sum()),
            **_spread(used[keep]),
            **_interval(used[keep], place[keep], draws),
        }
    means: dict[str, Any] = {}
    for metric in AVERAGED:
        own = scores[scores["metric"] == metric].groupby(["case", "patient"], sort=False)["value"]
        averaged = own.mean().dropna().reset_index()
        if len(averaged):
            place = pd.Index(patients).get_indexer(averaged["patient"])
            values = averaged["value"].to_numpy(float)
            means[metric] = {"n": len(values), **_spread(values), **_interval(values, place, draws)}
    return {
        "cases": int(scores["case"].nunique()),
        "patients": len(patients),
        "protocol": protocol,
        "penalty_mm": penalty,
        "mean": means,
        "regions": regions,
    }


def _spread(values: np.ndarray) -> dict[str, float | None]:
    if not len(values):
        return dict.fromkeys(("mean", "sd", "median", "q1", "q3"))
    q1, median, q3 = np.percentile(values, [25, 50, 75]).tolist()
    sd = float(values.std(ddof=1)) if len(values) > 1 else None
    return {"mean": float(values.mean()), "sd": sd, "median": median, "q1": q1, "q3": q3}


def _interval(
    values: np.ndarray, patients: np.ndarray, draws: np.ndarray
) -> dict[str, float | None]:
    """95 % percentile interval of the mean.

    Args:
        values: (n,) finite.
        patients: (n,) which patient each is of.
        draws: (S, P) how often each sample draws each patient.
    """
    if len(np.unique(patients)) < 2:
        return {"low": None, "high": None}
    sums = np.bincount(patients, values, draws.shape[1])
    counts = np.bincount(patients, minlength=draws.shape[1])
    drawn = draws @ counts
    means = (draws @ sums)[drawn > 0] / drawn[drawn > 0]
    low, high = np.percentile(means, [2.5, 97.5]).tolist()
    return {"low": low, "high": high}
