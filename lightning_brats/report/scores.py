"""Scores of the test cases condensed: spread by region and metric, and which cases to show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lightning_brats.metrics import METRICS

HUGE = 1e300
"""Stands for infinity where quantiles are interpolated: `inf - inf` would be undefined."""


@dataclass(frozen=True)
class Spread:
    """One metric of one region over the cases in which it is defined.

    Mean and standard deviation are those of the finite values (the latter with n - 1);
    the quartiles count an infinite value as larger than any other.
    """

    region: str
    n: int
    infinite: int
    mean: float
    sd: float
    quartiles: tuple[float, float, float]
    worst: float
    worst_case: str


@dataclass(frozen=True)
class Shown:
    """A case chosen for a picture, and why."""

    role: str
    case: str
    mean_dice: float


def spread(scores: pd.DataFrame, metric: str, region: str) -> Spread | None:
    """Condense one metric of one region; `None` where it is nowhere defined."""
    rows = scores[(scores["metric"] == metric) & (scores["region"] == region)]
    rows = rows.dropna(subset=["value"])
    if rows.empty:
        return None
    values = rows["value"].to_numpy(float)
    finite = values[np.isfinite(values)]
    quartiles = np.quantile(np.clip(values, -HUGE, HUGE), [0.25, 0.5, 0.75])
    worst = _worst(values, METRICS[metric].higher_is_better)
    return Spread(
        region=region,
        n=len(values),
        infinite=len(values) - len(finite),
        mean=float(finite.mean()) if finite.size else np.inf,
        sd=float(finite.std(ddof=1)) if finite.size > 1 else np.nan,
        quartiles=tuple(np.inf if q > HUGE / 1e6 else float(q) for q in quartiles),  # type: ignore
        worst=float(values[worst]),
        worst_case=str(rows["case"].iloc[worst]),
    )


def _worst(values: np.ndarray, higher_is_better: bool | None) -> int:
    """Place of the worst value; of signed errors, the one farthest from zero."""
    if higher_is_better:
        return int(np.argmin(values))
    return int(np.argmax(values if higher_is_better is False else np.abs(values)))


def mean_dice(scores: pd.DataFrame) -> pd.Series:
    """Mean Dice over the regions of every case, from worst to best, ties by name."""
    means = scores[scores["metric"] == "dice"].groupby("case")["value"].mean().dropna()
    return means.sort_index().sort_values(kind="stable")


def shown_cases(scores: pd.DataFrame) -> list[Shown]:
    """Best, median and worst case by mean Dice; of an even number, the lower middle one."""
    means = mean_dice(scores)
    places = {"best": len(means) - 1, "median": (len(means) - 1) // 2, "worst": 0}
    if len(means) == 1:
        places = {"only": 0}
    elif len(means) == 2:
        places.pop("median")
    return [Shown(role, str(means.index[i]), float(means.iloc[i])) for role, i in places.items()]


def case_rows(scores: pd.DataFrame, regions: Sequence[str]) -> list[dict[str, Any]]:
    """One row a case, from worst to best: `case, cohort, mean`, and `dice`, `hd95` by region."""
    values = scores.set_index(["case", "metric", "region"])["value"].to_dict()
    cohorts = scores.groupby("case")["cohort"].first()
    return [
        {
            "case": case,
            "cohort": cohorts[case],
            "mean": mean,
            **{
                metric: [values.get((case, metric, region), np.nan) for region in regions]
                for metric in ("dice", "hd95")
            },
        }
        for case, mean in mean_dice(scores).items()
    ]
