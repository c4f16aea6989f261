"""A follow-up on disk: tables, change maps on the first point's grid, pictures, a page."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from lightning_brats.figures import save_png
from lightning_brats.followup.course import FollowUp
from lightning_brats.followup.pictures import change_figure, volume_figure
from lightning_brats.labels import REGION_NAMES
from lightning_brats.report.html import embedded, write_page
from lightning_brats.report.wording import MISSING, number

PAGE = "followup.html"


def write_follow_up(found: FollowUp, folder: Path) -> Path:
    """Write `volumes.csv`, `growth.csv`, `change_<start>_to_<end>_<region>.nii.gz` and a page.

    Args:
        found: What was found out.
        folder: Exists.

    Returns:
        `followup.html`.
    """
    found.volumes.to_csv(folder / "volumes.csv", index=False, float_format="%.6g")
    found.growth.to_csv(folder / "growth.csv", index=False, float_format="%.6g")
    maps = []
    for start, end in found.intervals:
        for region in found.regions:
            path = folder / f"change_{start}_to_{end}_{region}.nii.gz"
            _save(path, found.change(start, end, region), found.points[0].affine)
            maps.append(path.name)
    pictures = folder / "figures"
    context = {
        "title": _title(found),
        "verdict": [sentence(found, region) for region in found.regions],
        "volumes": _volumes(found),
        "regions": [(region, REGION_NAMES[region]) for region in found.regions],
        "diameters": "bidimensional_mm2" in found.volumes,
        "growth": [_growth(row) for _, row in found.growth.iterrows()],
        "chart": embedded(save_png(volume_figure(found), pictures / "volumes.png", 120)),
        "changes": embedded(save_png(change_figure(found), pictures / "changes.png", 120)),
        "notes": found.notes,
        "registered": [(name, number(value, 2)) for name, value in found.quality.items()],
        "files": ["volumes.csv", "growth.csv", *maps],
    }
    return write_page(folder / PAGE, "followup.html.j2", context)


def sentence(found: FollowUp, region: str) -> str:
    """How a region went from the first to the last time point."""
    row = found.growth[found.growth["region"] == region].iloc[-1]
    start, end = number(row["ml_start"], 1), number(row["ml_end"], 1)
    if row["ml_start"] == 0:
        done = "did not appear" if row["ml_end"] == 0 else f"appeared ({end} ml)"
        return f"{region} {done}."
    if start == end:
        return f"{region} stayed at {end} ml."
    moved = "grew" if row["change_ml"] > 0 else "shrank"
    percent = f"{row['change_percent']:+.0f} %".replace("-", "−")
    text = f"{region} {moved} from {start} to {end} ml ({percent})"
    if not math.isnan(row["days"]):
        text += f" in {row['days']:.0f} days, {number(row['ml_per_day'], 3)} ml a day"
    if not math.isnan(row["doubling_days"]):
        text += f"; at that rate it doubles in {row['doubling_days']:.0f} days"
    return f"{text}."


def _title(found: FollowUp) -> str:
    return f"{found.points[0].name} to {found.points[-1].name}"


def _volumes(found: FollowUp) -> list[tuple[str, str, list[str], str]]:
    """Point, date, millilitres by region, product of diameters."""
    rows = []
    for point in found.points:
        own = found.volumes[found.volumes["point"] == point.name].set_index("region")
        cells = [number(float(own.loc[region, "ml"]), 2) for region in found.regions]
        product = MISSING
        if "bidimensional_mm2" in own:
            product = number(float(own.loc["ET", "bidimensional_mm2"]), 0)
        day = MISSING if point.day is None else point.day.isoformat()
        rows.append((point.name, day, cells, product))
    return rows


def _growth(row: pd.Series[Any]) -> tuple[str, str, list[str]]:
    days = [number(row[name], places) for name, places in (("days", 0), ("doubling_days", 0))]
    return (
        f"{row['start']} → {row['end']}",
        str(row["region"]),
        [
            days[0],
            number(row["ml_start"], 2),
            number(row["ml_end"], 2),
            number(row["change_ml"], 2),
            number(row["change_percent"], 1),
            number(row["ml_per_day"], 3),
            days[1],
        ],
    )


def _save(path: Path, values: np.ndarray, affine: np.ndarray) -> None:
    image = nib.Nifti1Image(values, affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
