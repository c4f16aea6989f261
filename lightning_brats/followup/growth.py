"""Volumes of regions over time, and how fast they change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from itertools import pairwise

import pandas as pd


def growth_table(volumes: pd.DataFrame) -> pd.DataFrame:
    """Change from each time point to the next, and from the first to the last.

    Args:
        volumes: Rows `point, date, region, ml`, in order of time; `date` may be missing (`None`).

    Returns:
        Rows `start, end, region, days, ml_start, ml_end, change_ml, change_percent, ml_per_day,
        doubling_days`. What needs dates is NaN without them, what needs a tumour at the start is
        NaN without one; a tumour that does not grow has no doubling time.
    """
    points = list(dict.fromkeys(volumes["point"]))
    pairs = list(pairwise(points))
    if len(points) > 2:
        pairs.append((points[0], points[-1]))
    rows = []
    for region in dict.fromkeys(volumes["region"]):
        of_region = volumes[volumes["region"] == region].set_index("point")
        for start, end in pairs:
            first, second = of_region.loc[start], of_region.loc[end]
            days = days_between(first["date"], second["date"])
            sizes = float(first["ml"]), float(second["ml"])
            rows.append(
                {"start": start, "end": end, "region": region, "days": days} | change(*sizes, days)
            )
    return pd.DataFrame(rows)


def change(start: float, end: float, days: float) -> dict[str, float]:
    """How a volume in ml went to another one in so many days (NaN: unknown).

    The doubling time is that of exponential growth: `days · ln 2 / ln(end / start)`.
    """
    grows = start > 0 and end > start
    return {
        "ml_start": start,
        "ml_end": end,
        "change_ml": end - start,
        "change_percent": 100 * (end - start) / start if start > 0 else math.nan,
        "ml_per_day": (end - start) / days if days > 0 else math.nan,
        "doubling_days": days * math.log(2) / math.log(end / start) if grows else math.nan,
    }


def days_between(start: date | None, end: date | None) -> float:
    """Days, NaN where a date is unknown."""
    return math.nan if start is None or end is None else float((end - start).days)


def in_order(dates: Sequence[date | None]) -> bool:
    """Whether the dates that are known follow each other."""
    known = [one for one in dates if one is not None]
    return all(first < second for first, second in pairwise(known))
