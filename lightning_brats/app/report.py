"""The report of one case: a page that needs no network, without names of files or people."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from lightning_brats import __version__
from lightning_brats.app.scoring import Comparison
from lightning_brats.app.segmenting import Result
from lightning_brats.data.reading import read_native
from lightning_brats.figures import case_panel, save_png
from lightning_brats.figures.errors import profile_still
from lightning_brats.labels import REGION_NAMES, TISSUES
from lightning_brats.report.html import embedded, write_page
from lightning_brats.report.wording import duration, number

DPI = 120
FULL_NAMES = {"background": "background", **REGION_NAMES}


def write_report(folder: Path, result: Result, scored: Comparison | None, phantom: bool) -> Path:
    """Write `report.html`.

    Args:
        folder: Where it and its pictures go; exists.
        result: What it is about.
        scored: What the reference says, where there is one.
        phantom: Whether the network was trained on the phantom.
    """
    labels, affine = result.labels()
    panel = _panel(folder, result, scored is not None)
    profiles = scored.profiles(result) if scored else {}
    still = save_png(profile_still(profiles), folder / "boundary.png", DPI) if profiles else None
    context = {
        "model": result.model,
        "date": datetime.now().strftime("%Y-%m-%d %H:%M"),
        "phantom": phantom,
        "doubts": result.doubts,
        "regions": region_rows(result),
        "voxels": voxel_rows(result),
        "panel": panel,
        "scores": _table(scored.table()) if scored else None,
        "boundary": _table(scored.boundary()) if scored else None,
        "protocol": scored.protocol if scored else "",
        "still": embedded(still) if still else None,
        "facts": facts(result, labels, affine),
    }
    return write_page(folder / "report.html", "case.html.j2", context)


def region_rows(result: Result) -> list[dict[str, str]]:
    """Region, its name, ml, and the Dice that the network expects."""
    return [
        {
            "region": region,
            "name": REGION_NAMES[region],
            "ml": number(ml, 1),
            "dice": number(result.dice[region], 2),
        }
        for region, ml in result.volumes.items()
    ]


def voxel_rows(result: Result) -> list[dict[str, str]]:
    """Value in the mask, tissue and voxels."""
    codes: dict[str, int] = {}
    for value, label in result.coding.codes.items():
        codes.setdefault(TISSUES[label], value)
    return [
        {
            "value": str(codes[name]),
            "tissue": FULL_NAMES[name],
            "voxels": f"{count:,}",
        }
        for name, count in result.voxels.items()
    ]


def facts(result: Result, labels: np.ndarray, affine: np.ndarray) -> list[tuple[str, str]]:
    """What was segmented, and how."""
    spacing = " × ".join(f"{edge:.3g}" for edge in nib.affines.voxel_sizes(affine))
    return [
        ("Network", result.model),
        ("Modalities", ", ".join(result.case.images)),
        ("Grid", f"{' × '.join(map(str, labels.shape))} voxels of {spacing} mm"),
        ("Labels in the mask", result.coding.describe()),
        ("Time", duration(result.seconds)),
        ("Version", __version__),
    ]


def _panel(folder: Path, result: Result, compared: bool) -> dict[str, Any]:
    volume = read_native(result.segmented)
    reference = result.reference() if compared else None
    names = tuple(result.case.images)
    figure = case_panel(volume.image, names, reference, volume.mask, volume.affine)
    width, height = (round(float(inches) * DPI) for inches in figure.get_size_inches())
    png = save_png(figure, folder / "panel.png", DPI)
    return {
        "role": "Slices",
        "caption": "through the largest area of the tumour.",
        "alt": "Slices of the case with the segmentation as contours",
        "png": embedded(png),
        "width": width,
        "height": height,
    }


def _table(table: Any) -> dict[str, Any]:
    return {
        "columns": list(table.columns),
        "rows": [
            (str(name), [str(v) for v in row])
            for name, row in zip(table.index, table.fillna("–").to_numpy(), strict=True)
        ],
    }
