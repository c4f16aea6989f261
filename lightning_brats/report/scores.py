"""Scores condensed: spread by region and metric, and which cases to show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lightning_brats.metrics import METRICS

HEADLINES = ("lesion_dice", "dice")
"""What a page is about: the first of these that was measured."""
HEADLINE_NAMES = {"dice": "Dice", "lesion_dice": "lesion-wise Dice"}
HUGE = 1e300
"""Stands for infinity where quantiles are interpolated: `inf - inf` would be undefined."""


@dataclass(frozen=True)
class Scored:
    """Scores that a page shows.

    Args:
        table: Tidy rows `case, patient, cohort, region, metric, value`.
        regions: In the order of tables.
        noun: What a case is called.
        penalty: Distance in mm that stands for an infinite one in medians; without it, such a
            distance ranks as the largest.
    """

    table: pd.DataFrame
    regions: Sequence[str]
    noun: str = "case"
    penalty: float = np.inf

    @property
    def headline(self) -> str:
        """The metric that cases are ordered by."""
        measured = set(self.table["metric"])
        return next(metric for metric in HEADLINES if metric in measured)

    def values(self, metric: str, region: str) -> pd.Series:
        """A metric's values of a region, without those that are undefined."""
        rows = self.table[(self.table["metric"] == metric) & (self.table["region"] == region)]
        return rows["value"].dropna()

    def mean(self, region: str) -> float | None:
        """Mean of the headline over cases; `None` where it is nowhere defined."""
        values = self.values(self.headline, region)
        return float(values.mean()) if len(values) else None

    def middle(self, region: str) -> float | None:
        """Median over cases of the distance that goes with the headline, in mm."""
        values = self.values(self.headline.replace("dice", "hd95"), region)
        ranked = values.replace(np.inf, self.penalty).clip(upper=HUGE)
        middle = float(ranked.median()) if len(ranked) else None
        return np.inf if middle is not None and middle > HUGE / 1e6 else middle

    @property
    def overall(self) -> float:
        """Mean of the regions' means."""
        means = [mean for region in self.regions if (mean := self.mean(region)) is not None]
        return float(np.mean(means))

    @property
    def case_means(self) -> pd.Series:
        """Mean of the headline over the regions of every case, from worst to best."""
        return case_means(self.table, self.headline)


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
    mean: float
    metric: str = "dice"


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


def case_means(scores: pd.DataFrame, metric: str = "dice") -> pd.Series:
    """Mean over the regions of every case, from worst to best, ties by name."""
    means = scores[scores["metric"] == metric].groupby("case")["value"].mean().dropna()
    return means.sort_index().sort_values(kind="stable")


def shown_cases(scores: pd.DataFrame, metric: str = "dice") -> list[Shown]:
    """Best, median and worst case by their mean; of an even number, the lower middle one."""
    means = case_means(scores, metric)
    places = {"best": len(means) - 1, "median": (len(means) - 1) // 2, "worst": 0}
    if len(means) == 1:
        places = {"only": 0}
    elif len(means) == 2:
        places.pop("median")
    return [
        Shown(role, str(means.index[i]), float(means.iloc[i]), metric) for role, i in places.items()
    ]
