"""An explanation on disk: maps on the file's grid, pictures, a table, and a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from lightning_brats.explain.case import Explanation
from lightning_brats.explain.pictures import map_figure, modality_figure
from lightning_brats.figures import save_png
from lightning_brats.figures.slices import MODALITY_NAMES
from lightning_brats.labels import REGION_NAMES, region_masks
from lightning_brats.prediction.writing import save_map
from lightning_brats.report.html import embedded, write_page
from lightning_brats.report.wording import number


def write_explanation(found: Explanation, folder: Path) -> Path:
    """Write every map as `<case>_<map>.nii.gz`, pictures, `<case>_modalities.csv` and a page.

    Args:
        found: What was found out.
        folder: Exists.

    Returns:
        `<case>.html`.
    """
    for name, values in found.maps.items():
        save_map(folder / f"{found.case}_{name}.nii.gz", found.geometry, values)
    found.contributions.to_csv(
        folder / f"{found.case}_modalities.csv", index=False, float_format="%.6g"
    )
    maps = save_png(map_figure(found), folder / f"{found.case}_maps.png", 120)
    bars = save_png(modality_figure(found), folder / f"{found.case}_modalities.png", 120)
    context = {
        "case": found.case,
        "region": found.region,
        "was_found": bool(region_masks(found.labels, [found.region])[0].any()),
        "name": REGION_NAMES[found.region],
        "verdict": verdict(found.contributions, found.region),
        "maps": embedded(maps),
        "bars": embedded(bars),
        **_table(found.contributions),
        "notes": found.notes,
        "files": [f"{found.case}_{name}.nii.gz" for name in found.maps],
    }
    return write_page(folder / f"{found.case}.html", "explain.html.j2", context)


def verdict(table: pd.DataFrame, region: str) -> str:
    """In a sentence, the modality without which the region changes most.

    Args:
        table: See `occlusion.contributions`.
        region: One of its regions.
    """
    rows = table[table["region"] == region].sort_values("dice_with_all", kind="stable")
    first = rows.iloc[0]
    if first["dice_with_all"] == 1:
        return f"No single modality changes {region} when it is taken away."
    name = MODALITY_NAMES.get(str(first["modality"]), str(first["modality"]))
    volumes = f"{number(first['volume_ml'], 1)} to {number(first['volume_ml_without'], 1)} ml"
    text = (
        f"{region} depends most on {name}: without it the volume goes from {volumes}, and the "
        f"mask's Dice with that of all modalities is {number(first['dice_with_all'])}"
    )
    if "dice" in first:
        dice = f"{number(first['dice'])} to {number(first['dice_without'])}"
        text += f"; its Dice with the reference goes from {dice}"
    return f"{text}."


def _table(table: pd.DataFrame) -> dict[str, Any]:
    headings = {
        "volume_ml": ("ml", 2),
        "volume_ml_without": ("ml without", 2),
        "probability": ("probability", 3),
        "probability_without": ("without", 3),
        "dice_with_all": ("Dice of both", 3),
        "dice": ("Dice", 3),
        "dice_without": ("Dice without", 3),
    }
    there = {name: found for name, found in headings.items() if name in table}
    rows = [
        (
            MODALITY_NAMES.get(str(row["modality"]), str(row["modality"])),
            row["region"],
            [number(row[name], places) for name, (_, places) in there.items()],
        )
        for _, row in table.iterrows()
    ]
    return {"headings": [text for text, _ in there.values()], "rows": rows}
