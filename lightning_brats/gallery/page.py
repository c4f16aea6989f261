"""The gallery as one HTML file: pictures of pixels, with outlines and grids drawn over them."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lightning_brats.figures.slices import MODALITY_NAMES
from lightning_brats.gallery.items import Item
from lightning_brats.gallery.views import Lines, View
from lightning_brats.report.html import write_page

QUALITY = 82
SAME = 0.01
"""Difference of normalised intensities up to which two ways to augment give the same patch: half
precision rounds values of 4 to 16 by up to so much."""

Row = Mapping[str, Any]


def row(label: str, note: str, seen: View) -> Row:
    """A strength or draw, for the template."""
    return {
        "label": label,
        "note": note,
        "pictures": [encoded(picture) for picture in seen.pictures],
        "change": None if seen.change is None else encoded(seen.change),
        "changed": MODALITY_NAMES.get(seen.changed, seen.changed),
        "outlines": {name: path(lines, True) for name, lines in seen.outlines.items()},
        "grid": path(seen.grid, False),
        "ghost": path(seen.ghost, True),
    }


def section(item: Item, rows: Sequence[Row], on_device: Sequence[float | None]) -> dict[str, Any]:
    """A transform or preset, for the template.

    Args:
        item: What it is.
        rows: Its strengths or draws.
        on_device: Of each of them, see `Applied`.
    """
    known = [difference for difference in on_device if difference is not None]
    return {
        "key": item.key,
        "title": item.title,
        "about": item.about,
        "preset": item.preset,
        "rows": rows,
        "place": place(known) if known else "in the workers alone",
    }


def place(differences: Sequence[float]) -> str:
    """Where a transform can work, and whether that makes a difference."""
    most = max(differences)
    if most == 0:
        return "in the workers or on the training device, with equal results"
    if most <= SAME:
        return f"in the workers or on the training device, equal to within {most:.1g}"
    return f"in the workers or on the training device, which differ by up to {most:.2g}"


def write_gallery(folder: Path, context: Mapping[str, Any]) -> Path:
    """Write `gallery.html` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return write_page(folder / "gallery.html", "gallery.html.j2", context)


def encoded(picture: np.ndarray) -> str:
    """(V, H) or (V, H, 3) from 0 to 1 as a data address of a WebP file."""
    file = io.BytesIO()
    pixels = np.round(255 * np.clip(picture, 0, 1)).astype(np.uint8)
    Image.fromarray(pixels).save(file, format="WEBP", quality=QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


def path(lines: Lines, closed: bool) -> str:
    """Polygons as the data of an SVG path."""
    end = "z" if closed else ""
    return "".join(
        "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in line) + end for line in lines if len(line) > 1
    )
