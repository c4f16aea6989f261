"""The numbers of the page: verdict, tiles, and both tables of scores, as text ready to print."""

from __future__ import annotations

import math
from typing import Any

from lightning_brats.figures.style import GREY, REGION_COLOURS
from lightning_brats.labels import REGION_NAMES
from lightning_brats.metrics import METRICS
from lightning_brats.report.run import Run
from lightning_brats.report.scores import Spread, case_rows, mean_dice, spread
from lightning_brats.report.wording import digits, heading, listed, number, plural

MAIN = ("dice", "hd95", "lesion_dice", "lesion_hd95")
"""Metrics shown at once; the others on demand."""
NOT_SCORES = ("volume_reference", "volume_prediction")
FEW = 10
"""Below so many test cases the page says that the mean is a rough estimate."""


def verdict(run: Run) -> str:
    """The result in two sentences, with the number of cases it rests on."""
    means = mean_dice(run.scores)
    patients = run.scores["patient"].nunique()
    people = "" if patients == len(means) else f" of {plural(patients, 'patient')}"
    text = (
        f"Mean Dice {number(run.summary['dice_mean'])} over {listed(run.regions)} "
        f"in {plural(len(means), 'test case')}{people}."
    )
    if len(means) > 1:
        low, middle, high = (number(float(v)) for v in means.quantile([0, 0.5, 1]))
        text += f" Single cases range from {low} to {high}, with a median of {middle}."
        if len(means) < FEW:
            text += " With so few cases the mean is a rough estimate."
        return text
    return f"{text} One case says nothing about others."


def tiles(run: Run) -> list[dict[str, Any]]:
    """The mean of the regions, then each region; values are those of `summary.json`."""
    means = mean_dice(run.scores)
    first = {
        "title": "Mean Dice",
        "name": "all regions",
        "dice": number(run.summary["dice_mean"]),
        "colour": GREY,
        "points": _points(means.tolist()),
        "note": f"{plural(len(means), 'test case')}, a dot each",
    }
    return [first, *(_region_tile(run, region) for region in run.regions)]


def spread_tables(run: Run, main: bool) -> list[dict[str, Any]]:
    """One block a metric, one row a region."""
    tables = []
    for metric in METRICS:
        if metric in NOT_SCORES or (metric in MAIN) != main:
            continue
        found = [spread(run.scores, metric, region) for region in run.regions]
        rows = [_spread_row(row, digits(metric)) for row in found if row is not None]
        if rows:
            tables.append({"label": heading(metric), "rows": rows})
    return tables


def case_table(run: Run) -> list[dict[str, Any]]:
    """One row a case: mean Dice, Dice by region, HD95 by region."""
    return [
        {
            "case": row["case"],
            "cohort": row["cohort"],
            "cells": [
                _cell(row["mean"], 3, GREY),
                *(
                    _cell(value, 3, REGION_COLOURS[region])
                    for region, value in zip(run.regions, row["dice"], strict=True)
                ),
                *(_cell(value, 1, None) for value in row["hd95"]),
            ],
        }
        for row in case_rows(run.scores, run.regions)
    ]


def _region_tile(run: Run, region: str) -> dict[str, Any]:
    rows = run.scores[(run.scores["metric"] == "dice") & (run.scores["region"] == region)]
    distance = spread(run.scores, "hd95", region)
    middle = number(distance.quartiles[1], 1) if distance else "–"
    return {
        "title": region,
        "name": REGION_NAMES[region],
        "dice": number(run.summary["regions"][region].get("dice")),
        "colour": REGION_COLOURS[region],
        "points": _points(rows["value"].dropna().tolist()),
        "note": f"mean Dice, median HD95 {middle} mm",
    }


def _points(values: list[float]) -> list[float]:
    """Places on the tile's scale, whose 0 lies at 4 and whose 1 at 196."""
    return [round(4 + 192 * value, 1) for value in values]


def _spread_row(row: Spread, places: int) -> dict[str, Any]:
    low, middle, high = (number(value, places) for value in row.quartiles)
    return {
        "region": row.region,
        "mean": number(row.mean, places),
        "sd": "" if math.isnan(row.sd) else number(row.sd, places),
        "median": middle,
        "iqr": f"{low} to {high}" if row.n > 1 else "",
        "n": row.n,
        "infinite": row.infinite,
        "worst": number(row.worst, places),
        "worst_case": row.worst_case,
    }


def _cell(value: float, places: int, colour: str | None) -> dict[str, Any]:
    """`sort` is what the page's script compares: JavaScript's spelling of infinity, or nothing."""
    known = not math.isnan(value)
    spelled = f"{value:.6f}" if math.isfinite(value) else "Infinity"
    return {
        "text": number(value, places),
        "sort": spelled if known else "",
        "share": round(100 * value, 1) if colour and known else None,
        "colour": colour,
    }
