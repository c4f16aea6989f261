"""Places of lines, boxes and dots in the page's small vector graphics, which need no script."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lightning_brats.audit.rows import TISSUE_COLUMNS, Findings
from lightning_brats.figures.style import GREY, REGION_COLOURS
from lightning_brats.labels import REGION_NAMES
from lightning_brats.report.wording import number

WIDTH = 400.0
"""Length of a strip's axis in its own units."""
DOTS = 80
"""Up to so many cases each is a dot."""
TICKS = (0, 1, 10, 50, 100, 200, 400, 800, 1200, 1600, 2000, 3000)
COHORT_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
"""Okabe and Ito's palette, in an order in which neighbours differ most."""
PLOT = (240.0, 88.0)
"""Width and height of a histogram."""


def cohort_colours(found: Findings) -> dict[str, str]:
    """Cohort → colour, largest first; grey where colours have run out."""
    return {
        cohort: COHORT_COLOURS[i] if i < len(COHORT_COLOURS) else GREY
        for i, cohort in enumerate(found.cohorts)
    }


def volume_strips(found: Findings) -> dict[str, Any]:
    """Distribution of each tissue's volume in each cohort, on a common square-root axis.

    Returns:
        `ticks` (place, label) and `groups`: one a tissue, one row a cohort. Boxes are the middle
        half of the cases that have the tissue, their line the median.
    """
    table = found.table
    names = [n for n in TISSUE_COLUMNS if f"{n}_ml" in table and (table[f"{n}_ml"] > 0).any()]
    most = max((float(table[f"{name}_ml"].max()) for name in names), default=0.0)
    groups = []
    for name in names:
        rows = []
        for cohort in found.cohorts:
            own = table[table["cohort"] == cohort].dropna(subset=[f"{name}_ml"])
            if len(own):
                rows.append({"cohort": cohort, **_strip(own["case"], own[f"{name}_ml"], most)})
        groups.append(
            {
                "name": name,
                "title": REGION_NAMES[name],
                "colour": REGION_COLOURS[name],
                "rows": rows,
            }
        )
    ticks = [(_place(tick, most), str(tick)) for tick in TICKS if tick <= most]
    return {"groups": groups, "ticks": ticks, "width": WIDTH}


def histogram_panels(found: Findings) -> list[dict[str, Any]]:
    """One panel a modality, one line a cohort; every cohort has the same area."""
    colours = cohort_colours(found)
    panels = []
    for modality in found.modalities:
        lines = {c: found.histograms.get((c, modality)) for c in found.cohorts}
        top = max(float(line.max()) for line in lines.values() if line is not None)
        panels.append(
            {
                "modality": modality,
                "lines": [
                    {"cohort": c, "colour": colours[c], "path": _path(line, top)}
                    for c, line in lines.items()
                    if line is not None
                ],
                "scales": _scales(found, modality),
            }
        )
    return panels


def _strip(cases: Any, values: Any, most: float) -> dict[str, Any]:
    numbers = values.to_numpy(float)
    present = numbers[numbers > 0]
    row: dict[str, Any] = {
        "n": len(present),
        "of": len(numbers),
        "dots": [],
        "box": None,
        "summary": "–",
        "largest": "",
    }
    if present.size:
        q5, q25, q50, q75, q95 = np.quantile(present, [0.05, 0.25, 0.5, 0.75, 0.95])
        row["summary"] = number(float(q50), 1)
        if present.size > 1:
            row["summary"] += f" [{number(float(q25), 1)} to {number(float(q75), 1)}]"
        place = int(numbers.argmax())
        row["largest"] = f"{number(float(numbers[place]), 1)}"
        row["largest_case"] = str(cases.iloc[place])
        if present.size <= DOTS:
            row["dots"] = [
                (_place(v, most), f"{case}: {v:.2f} ml")
                for case, v in zip(cases, numbers, strict=True)
                if v > 0
            ]
        if present.size >= 5:
            row["box"] = [_place(float(q), most) for q in (q5, q25, q50, q75, q95)]
    return row


def _place(value: float, most: float) -> float:
    return round(WIDTH * math.sqrt(value / most), 1) if most else 0.0


def _path(line: np.ndarray, top: float) -> str:
    width, height = PLOT
    xs = (np.arange(len(line)) + 0.5) * width / len(line)
    ys = height - (height - 4) * line / max(top, 1e-9)
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in zip(xs, ys, strict=True))


def _scales(found: Findings, modality: str) -> list[dict[str, str]]:
    """The files' own intensities, which the histograms leave out."""
    rows = []
    for cohort in found.cohorts:
        own = found.table[found.table["cohort"] == cohort].dropna(subset=[f"{modality}_p50"])
        if len(own):
            middle, high = (own[f"{modality}_{q}"].median() for q in ("p50", "p99"))
            negative = int((own[f"{modality}_negative"] > 0).sum())
            rows.append(
                {
                    "cohort": cohort,
                    "cases": str(len(own)),
                    "middle": f"{middle:.4g}",
                    "high": f"{high:.4g}",
                    "negative": f"{negative} of {len(own)}" if negative else "none",
                }
            )
    return rows
