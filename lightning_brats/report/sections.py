"""Parts that the pages of runs and of evaluations share: charts of scores, errors, confidence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lightning_brats.evaluation.confidence import Confidence, mean_over_regions
from lightning_brats.evaluation.errors import ALL, QUANTILES, ErrorTables
from lightning_brats.figures.confidence import (
    calibration_chart,
    confidence_still,
    dice_chart,
    risk_chart,
)
from lightning_brats.figures.errors import profile_chart, profile_still
from lightning_brats.figures.interactive import score_strip
from lightning_brats.figures.plots import STRIP_METRICS, score_strips
from lightning_brats.figures.style import save_png
from lightning_brats.labels import BACKGROUND, TISSUES
from lightning_brats.report.cases import error_table
from lightning_brats.report.html import as_json, embedded
from lightning_brats.report.scores import Scored
from lightning_brats.report.tables import FEW
from lightning_brats.report.wording import number, plural

DPI = 120
ERROR_MEASURES = {
    "misclassified": ("misclassified", 100.0),
    "missed": ("missed", 100.0),
    "false": ("false", 100.0),
    "assd": ("ASSD", 1.0),
    **{f"distance_p{round(100 * q)}": (f"{round(100 * q)} %", 1.0) for q in QUANTILES},
}
"""Measure → heading and factor."""


def score_charts(scored: Scored, figures: Path) -> dict[str, Any]:
    """Strips of the main metrics: `strips` (title, label, figure or nothing) and `still`."""
    measured = set(scored.table["metric"])
    strips = []
    for metric, name in STRIP_METRICS.items():
        if metric not in measured:
            continue
        values = scored.table.loc[scored.table["metric"] == metric, "value"]
        drawn = bool(np.isfinite(values).any())
        strips.append(
            {
                "id": metric,
                "title": f"{name}, one point a {scored.noun.split()[-1]}",
                "label": f"{name} of every {scored.noun} by region",
                "figure": as_json(score_strip(scored.table, scored.regions, metric))
                if drawn
                else None,
            }
        )
    still = save_png(score_strips(scored.table, scored.regions), figures / "scores.png", DPI)
    return {"strips": strips, "still": embedded(still)}


def error_section(errors: ErrorTables | None, regions: list[str], figures: Path) -> dict | None:
    """Where masks err: a sentence, a histogram, a table by region, a confusion matrix."""
    if errors is None:
        return None
    measures = errors.measures
    known = {r: p for r in regions if (p := errors.profile(r)) is not None}
    shares = measures[(measures["region"] == ALL) & (measures["measure"] == "misclassified")]
    middle = measures.groupby(["region", "measure"])["value"].median()
    rows = [
        {
            "region": region,
            "cells": [
                number(factor * float(middle.get((region, measure), np.nan)), 1)
                for measure, (_, factor) in ERROR_MEASURES.items()
            ],
        }
        for region in regions
    ]
    still = None
    if known:
        still = embedded(save_png(profile_still(known), figures / "boundary.png", DPI))
    return {
        "misclassified": number(100 * float(shares["value"].mean()), 1),
        "cases": plural(len(shares), "case"),
        "figure": as_json(profile_chart(known)) if known else None,
        "still": still,
        "headings": [name for name, _ in ERROR_MEASURES.values()],
        "rows": rows,
        "confusion": confusion(errors),
        "every": error_table(measures, regions),
    }


def confusion(errors: ErrorTables) -> dict[str, Any]:
    """Rows of tissues in the reference, as shares of the row and mean ml a case.

    Background taken for background is left out, so that its row tells what was added.
    """
    matrix = errors.matrix() / max(1, errors.confusion["case"].nunique())
    matrix[BACKGROUND, BACKGROUND] = 0
    used = [
        i for i in range(len(TISSUES)) if i == BACKGROUND or matrix[i].any() or matrix[:, i].any()
    ]
    rows = []
    for row in used:
        total = float(matrix[row].sum())
        cells: list[dict[str, Any] | None] = []
        for column in used:
            value = float(matrix[row, column])
            share = value / total if total else 0.0
            text = number(100 * share, 1) if total else number(None)
            volume = number(value, 2 if value < 10 else 1)
            cells.append({"share": round(100 * share, 1), "text": text, "ml": volume})
        if row == BACKGROUND:
            cells[used.index(BACKGROUND)] = None
        rows.append({"label": TISSUES[row], "cells": cells, "ml": number(total, 1)})
    return {"labels": [TISSUES[i] for i in used], "rows": rows}


def confidence_section(
    confidence: Confidence | None, scored: Scored, figures: Path
) -> dict[str, Any] | None:
    """Whether the network knows when it errs: charts and a table."""
    if confidence is None:
        return None
    pairs = confidence.dice(scored.table)
    measured = {r: confidence.pooled(r) for r in scored.regions if r in confidence.calibrated}
    if not measured and pairs.empty:
        return None
    means = mean_over_regions(pairs)
    predicted, true = means["predicted"].tolist(), means["true"].tolist()
    several = len(means) > 1
    still = confidence_still(measured, pairs, (predicted, true) if several else None)
    found = confidence.summarise(scored.table)["regions"]
    names = [r for r in scored.regions if r in found] + [n for n in ("mean",) if n in found]
    return {
        "within": confidence.within,
        "calibration": as_json(calibration_chart(measured)) if measured else None,
        "dice": as_json(dice_chart(pairs)) if len(pairs) else None,
        "risk": as_json(risk_chart(predicted, true)) if several else None,
        "still": embedded(save_png(still, figures / "confidence.png", DPI)),
        "cases": len(means),
        "few": len(means) < FEW,
        "rows": [
            {
                "name": "mean of the regions" if name == "mean" else name,
                "region": None if name == "mean" else name,
                "cells": [
                    number(found[name].get(key), places)
                    for key, places in (
                        ("ece", 4),
                        ("error", 3),
                        ("correlation", 2),
                        ("aurc", 3),
                        ("aurc_oracle", 3),
                        ("aurc_random", 3),
                    )
                ],
            }
            for name in names
        ],
    }
