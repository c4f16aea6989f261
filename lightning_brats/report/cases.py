"""Sortable tables: every case, and what it got wrong; the cohorts or folds that cases come from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from lightning_brats.evaluation.errors import ALL
from lightning_brats.figures.style import GREY, REGION_COLOURS
from lightning_brats.report.scores import Scored
from lightning_brats.report.wording import number

COLUMNS = {
    "lesion_dice": ("lesion Dice", 3),
    "lesion_hd95": ("lesion HD95", 1),
    "dice": ("Dice", 3),
    "hd95": ("HD95", 1),
}
"""Metric → its short name and decimals, in the order of the table."""
GROUPS = {"cohort": "Cohort", "fold": "Fold"}
UNNAMED = "unnamed"

Table = dict[str, Any]
"""`headers` (text, number or not, `aria-sort`) and `rows` (name, mark, texts and cells)."""


def case_table(scored: Scored, marks: Mapping[str, str] | None = None) -> Table:
    """One row a case: the mean of the headline, then every main metric by region.

    Args:
        scored: The scores.
        marks: Case → what to say beside its name.
    """
    scores = scored.table
    means = scored.case_means
    values = scores.set_index(["case", "metric", "region"])["value"].to_dict()
    facts = scores.drop_duplicates("case").set_index("case")
    order = [*means.index, *(case for case in facts.index if case not in means.index)]
    groups = [name for name in GROUPS if name in facts and facts[name].nunique() > 1]
    measured = set(scores["metric"])
    columns = [(m, r) for m in COLUMNS if m in measured for r in scored.regions]

    def cells(case: str) -> Iterator[dict[str, Any]]:
        yield cell(float(means.get(case, np.nan)), 3, GREY)
        for metric, region in columns:
            colour = REGION_COLOURS[region] if metric.endswith("dice") else None
            yield cell(
                float(values.get((case, metric, region), np.nan)), COLUMNS[metric][1], colour
            )

    mean = f"Mean {COLUMNS[scored.headline][0]}"
    return {
        "headers": [
            header("Case", numeric=False),
            *(header(GROUPS[name], numeric=False) for name in groups),
            header(mean, sort="ascending"),
            *(header(f"{region} {COLUMNS[metric][0]}") for metric, region in columns),
        ],
        "rows": [
            {
                "name": case,
                "mark": (marks or {}).get(case, ""),
                "texts": [str(facts.loc[case, name]) or UNNAMED for name in groups],
                "cells": list(cells(case)),
            }
            for case in order
        ],
    }


def error_table(measures: pd.DataFrame, regions: list[str]) -> Table:
    """One row a case: its misclassified voxels, and by region what was missed or false, and where.

    Args:
        measures: See `ErrorTables`.
        regions: In the order of the columns.
    """
    values = measures.set_index(["case", "region", "measure"])["value"].to_dict()
    shown: tuple[tuple[str, str, Callable[[float], dict[str, Any]]], ...] = (
        ("missed", "missed %", lambda value: cell(100 * value, 1)),
        ("false", "false %", lambda value: cell(100 * value, 1)),
        ("assd", "ASSD mm", lambda value: cell(value, 1)),
        ("distance_p5", "5 % mm", lambda value: cell(value, 1)),
        ("distance_p95", "95 % mm", lambda value: cell(value, 1)),
    )
    misclassified = measures[
        (measures["region"] == ALL) & (measures["measure"] == "misclassified")
    ].sort_values(["value", "case"], ascending=[False, True])
    return {
        "headers": [
            header("Case", numeric=False),
            header("Misclassified %", sort="descending"),
            *(header(f"{region} {name}") for region in regions for _, name, _ in shown),
        ],
        "rows": [
            {
                "name": case,
                "texts": [],
                "cells": [
                    cell(100 * share, 1),
                    *(
                        make(float(values.get((case, region, measure), np.nan)))
                        for region in regions
                        for measure, _, make in shown
                    ),
                ],
            }
            for case, share in zip(misclassified["case"], misclassified["value"], strict=True)
        ],
    }


def group_table(scored: Scored, column: str) -> Table | None:
    """Scores by cohort or fold; `None` where there is but one.

    Means of the headline, and medians of the distance that goes with it.
    """
    if column not in scored.table or scored.table[column].nunique() < 2:
        return None
    dice, distance = scored.headline, scored.headline.replace("dice", "hd95")
    rows = []
    for name, own in scored.table.groupby(column):
        part = replace(scored, table=own)
        rows.append(
            {
                "name": str(name) or UNNAMED,
                "texts": [],
                "cells": [
                    cell(float(own["case"].nunique()), 0),
                    cell(float(own["patient"].nunique()), 0),
                    cell(part.overall, 3, GREY),
                    *(cell(part.mean(r), 3, REGION_COLOURS[r]) for r in scored.regions),
                    *(cell(part.middle(r), 1) for r in scored.regions),
                ],
            }
        )
    return {
        "headers": [
            header(GROUPS[column], numeric=False, sort="ascending"),
            *(header(text) for text in ("Cases", "Patients", f"Mean {COLUMNS[dice][0]}")),
            *(header(f"{region} {COLUMNS[dice][0]}") for region in scored.regions),
            *(header(f"{region} median {COLUMNS[distance][0]}") for region in scored.regions),
        ],
        "rows": rows,
    }


def header(text: str, numeric: bool = True, sort: str = "none") -> dict[str, Any]:
    """A column's heading; `sort` is the order that the rows come in."""
    return {"text": text, "numeric": numeric, "sort": sort}


def cell(value: float | None, places: int, colour: str | None = None) -> dict[str, Any]:
    """A number, with a bar from 0 to 1 where it has a colour.

    `sort` is what the page's script compares: JavaScript's spelling of infinity, or nothing.
    """
    if value is None or math.isnan(value):
        return {"text": number(None), "sort": "", "share": None, "colour": colour}
    sign = "-" if value < 0 else ""
    return {
        "text": number(value, places),
        "sort": f"{value:.6f}" if math.isfinite(value) else f"{sign}Infinity",
        "share": round(100 * value, 1) if colour else None,
        "colour": colour,
    }
