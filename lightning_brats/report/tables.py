"""The numbers of a page: verdict, tiles, and tables of scores by region, as text ready to print."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lightning_brats.figures.style import GREY, REGION_COLOURS
from lightning_brats.labels import REGION_NAMES
from lightning_brats.metrics import METRICS
from lightning_brats.report.scores import HEADLINE_NAMES, Scored, Spread, spread
from lightning_brats.report.wording import digits, heading, listed, number, plural

MAIN = ("dice", "hd95", "lesion_dice", "lesion_hd95")
"""Metrics shown at once; the others on demand."""
NOT_SCORES = ("volume_reference", "volume_prediction")
FEW = 10
"""Below so many cases the page says that the mean is a rough estimate."""


def verdict(scored: Scored, interval: str = "") -> str:
    """The result in two sentences, with the number of cases it rests on.

    Args:
        scored: The scores.
        interval: Of the mean, as text.
    """
    means = scored.case_means
    patients = scored.table["patient"].nunique()
    people = "" if patients == len(means) else f" of {plural(patients, 'patient')}"
    text = (
        f"Mean {HEADLINE_NAMES[scored.headline]} {number(scored.overall)}{interval} over "
        f"{listed(scored.regions)} in {plural(len(means), scored.noun)}{people}."
    )
    if len(means) > 1:
        low, middle, high = (number(float(v)) for v in means.quantile([0, 0.5, 1]))
        text += f" Single cases range from {low} to {high}, with a median of {middle}."
        if len(means) < FEW:
            text += " With so few cases the mean is a rough estimate."
        return text
    return f"{text} One case says nothing about others."


def tiles(scored: Scored) -> list[dict[str, Any]]:
    """The mean of the regions, then each region; values are those of `summary.json`."""
    means = scored.case_means
    first = {
        "title": "Mean Dice",
        "name": "lesion-wise, all regions" if scored.headline == "lesion_dice" else "all regions",
        "value": number(scored.overall),
        "colour": GREY,
        "points": _points(means.tolist()),
        "note": f"{plural(len(means), scored.noun)}, a dot each",
    }
    return [first, *(_region_tile(scored, region) for region in scored.regions)]


def spread_tables(scored: Scored, main: bool) -> list[dict[str, Any]]:
    """One block a metric, one row a region: mean and standard deviation of finite values."""
    return [
        {"label": heading(metric), "rows": [_spread_row(row, digits(metric)) for row in found]}
        for metric in METRICS
        if (metric in MAIN) == main and (found := _spreads(scored, metric))
    ]


def interval_tables(
    scored: Scored, figures: Mapping[str, Mapping[str, Mapping[str, Any]]], main: bool
) -> list[dict[str, Any]]:
    """One block a metric, one row a region: mean and its interval, as `summary.json` has them.

    Args:
        scored: The scores.
        figures: Region → metric → what `summarise` found.
        main: The main metrics, or the others.
    """
    tables = []
    for metric in METRICS:
        places = digits(metric)
        rows = [
            {**_spread_row(row, places), **_interval_row(figures[row.region][metric], places)}
            for row in _spreads(scored, metric)
        ]
        if rows and (metric in MAIN) == main:
            tables.append({"label": heading(metric), "rows": rows})
    return tables


def _spreads(scored: Scored, metric: str) -> Sequence[Spread]:
    if metric in NOT_SCORES:
        return []
    found = (spread(scored.table, metric, region) for region in scored.regions)
    return [row for row in found if row is not None]


def _region_tile(scored: Scored, region: str) -> dict[str, Any]:
    middle = number(scored.middle(region), 1)
    return {
        "title": region,
        "name": REGION_NAMES[region],
        "value": number(scored.mean(region)),
        "colour": REGION_COLOURS[region],
        "points": _points(scored.values(scored.headline, region).tolist()),
        "note": f"mean {HEADLINE_NAMES[scored.headline]}, median HD95 {middle} mm",
    }


def _points(values: list[float]) -> list[float]:
    """Places on the tile's scale, whose 0 lies at 4 and whose 1 at 196."""
    return [round(4 + 192 * value, 1) for value in values]


def _spread_row(row: Spread, places: int) -> dict[str, Any]:
    low, middle, high = (number(value, places) for value in row.quartiles)
    return {
        "region": row.region,
        "mean": number(row.mean, places),
        "aside": "" if math.isnan(row.sd) else f"± {number(row.sd, places)}",
        "median": middle,
        "iqr": f"{low} to {high}" if row.n > 1 else "",
        "n": row.n,
        "infinite": row.infinite,
        "worst": number(row.worst, places),
        "worst_case": row.worst_case,
    }


def _interval_row(found: Mapping[str, Any], places: int) -> dict[str, Any]:
    mean, low, high = (number(found[name], places) for name in ("mean", "low", "high"))
    q1, middle, q3 = (number(found[name], places) for name in ("q1", "median", "q3"))
    return {
        "mean": mean,
        "aside": "" if found["low"] is None else f"[{low} to {high}]",
        "median": middle,
        "iqr": f"{q1} to {q3}" if found["n"] > 1 else "",
    }
