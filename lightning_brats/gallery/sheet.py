"""The gallery's rows as PNG files, one a transform or preset."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lightning_brats.figures import save_png
from lightning_brats.figures.slices import MODALITY_NAMES
from lightning_brats.figures.style import BLACK, GREY, REGION_COLOURS, WHITE
from lightning_brats.gallery.views import View

CELL = 2.1
"""Width of a picture in inches."""
LABEL, HEAD = 1.7, 0.75
LETTERS = 19
"""Of a line of a label."""


def write_sheet(
    path: Path,
    title: str,
    rows: Sequence[tuple[str, View]],
    modalities: Sequence[str],
    size: tuple[float, float],
) -> Path:
    """Draw a transform: a row a strength, a column a modality, and what changed.

    Args:
        path: The file.
        title: Over the sheet.
        rows: Label and view; the first is the case as it was.
        modalities: Names of the columns.
        size: Width and height of a slice in mm.
    """
    across, up = size
    height, columns = CELL * up / across, len(modalities) + 1
    width, total = LABEL + CELL * columns, HEAD + height * len(rows)
    figure = Figure(figsize=(width, total), facecolor=BLACK)
    figure.text(0.1 / width, 1 - 0.12 / total, title, color=WHITE, fontsize=13, va="top")
    for line, (label, seen) in enumerate(rows):
        bottom = (total - HEAD - (line + 1) * height) / total
        middle = bottom + height / total / 2
        wrapped = "\n".join(textwrap.fill(part, LETTERS) for part in label.split("\n"))
        style: dict[str, Any] = {"color": WHITE, "fontsize": 9.5, "va": "center"}
        figure.text(0.1 / width, middle, wrapped, linespacing=1.4, **style)
        cells = [(name, seen.pictures[place]) for place, name in enumerate(modalities)]
        for column, (name, picture) in enumerate(cells):
            axes = _axes(figure, column, bottom, height / total)
            axes.imshow(picture, "gray", vmin=0, vmax=1, extent=(0, across, up, 0))
            _outlined(axes, seen)
            if line == 0:
                axes.set_title(MODALITY_NAMES.get(name, name), color=GREY, fontsize=10, pad=4)
        if seen.change is not None:
            axes = _axes(figure, columns - 1, bottom, height / total)
            axes.imshow(seen.change, extent=(0, across, up, 0))
            _moved(axes, seen)
    return save_png(figure, path, dpi=110)


def _axes(figure: Figure, column: int, bottom: float, height: float) -> Axes:
    width = float(figure.get_figwidth())
    axes = figure.add_axes(
        ((LABEL + CELL * column) / width, bottom, 0.98 * CELL / width, 0.98 * height)
    )
    axes.set_axis_off()
    return axes


def _outlined(axes: Axes, seen: View) -> None:
    for region, lines in seen.outlines.items():
        for line in lines:
            axes.plot(*line.T, color=REGION_COLOURS[region], linewidth=1)


def _moved(axes: Axes, seen: View) -> None:
    for line in seen.grid:
        axes.plot(*line.T, color=GREY, linewidth=0.5)
    if seen.grid or seen.ghost:
        _outlined(axes, seen)
    for line in seen.ghost:
        axes.plot(*line.T, color=WHITE, linewidth=1, linestyle="--")
