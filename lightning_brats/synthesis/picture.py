"""Slices of real and generated images, one above the other, with the contours of their masks.

Shapes: `C` modalities, `x y z` a prepared volume: cropped to the brain, its axes run right,
anterior, superior.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lightning_brats.figures.cells import draw_slice
from lightning_brats.figures.planes import AXIAL, widest_slices
from lightning_brats.figures.scene import Scene
from lightning_brats.figures.slices import MODALITY_NAMES
from lightning_brats.figures.style import BLACK, REGION_COLOURS, WHITE
from lightning_brats.figures.window import window
from lightning_brats.labels import REGION_NAMES

CELL, HEAD, FOOT = 2.6, 0.32, 0.45
"""Inches: width of a slice, room for a row's caption and for the legend."""


class Row(NamedTuple):
    """One image of the picture."""

    caption: str
    image: np.ndarray  # (C, x, y, z)
    labels: np.ndarray  # (x, y, z)


def rows_of_slices(
    rows: Sequence[Row], modalities: Sequence[str], spacing: Sequence[float]
) -> Figure:
    """Draw images of one brain, a row each, a column a modality, all through the same axial slice.

    The slice is the one where the last row's mask is widest; grey means the same in all rows.

    Args:
        rows: At least one.
        modalities: C names.
        spacing: Voxel size in mm.
    """
    scenes = _scenes(rows, modalities, spacing)
    across, up = scenes[0].size(AXIAL)
    height = CELL * up / across
    size = CELL * len(modalities), (height + HEAD) * len(rows) + FOOT
    figure = Figure(figsize=size, facecolor=BLACK)
    for number, (row, scene) in enumerate(zip(rows, scenes, strict=True)):
        top = 1 - number * (height + HEAD) / size[1]
        style: dict[str, Any] = {"color": WHITE, "fontsize": 10, "va": "top", "parse_math": False}
        figure.text(0.008, top - 0.06 / size[1], row.caption, **style)
        _draw_row(figure, scene, top - HEAD / size[1], height / size[1])
    for axes, modality in zip(figure.axes, modalities, strict=False):
        title = MODALITY_NAMES.get(modality, modality)
        axes.set_title(title, color=WHITE, fontsize=9, loc="right", x=0.96)
    _explain_colours(figure, scenes)
    return figure


def _scenes(
    rows: Sequence[Row], modalities: Sequence[str], spacing: Sequence[float]
) -> list[Scene]:
    brain = (rows[0].image != 0).any(0)
    limits = [window(channel[brain]) for channel in rows[0].image]
    focus, affine = widest_slices(rows[-1].labels > 0), np.diag([*spacing, 1.0])
    scenes = []
    for row in rows:
        scaled = [
            np.where(brain, np.clip((channel - low) / max(high - low, 1e-6), 0, 1), 0)
            for channel, (low, high) in zip(row.image, limits, strict=True)
        ]
        masks = {"reference": row.labels}
        scenes.append(Scene(np.stack(scaled), modalities, masks, affine, focus))
    return scenes


def _draw_row(figure: Figure, scene: Scene, top: float, height: float) -> None:
    """One slice of each modality; `top` and `height` are shares of the figure."""
    width = 1 / len(scene.modalities)
    for column, modality in enumerate(scene.modalities):
        place = (column * width + 0.002, top - height, width - 0.004, height)
        axes = figure.add_axes(place)
        axes.set_axis_off()
        draw_slice(scene, AXIAL, modality, axes)


def _explain_colours(figure: Figure, scenes: Sequence[Scene]) -> None:
    regions = dict.fromkeys(region for scene in scenes for region in scene.regions)
    figure.legend(
        handles=[Patch(color=REGION_COLOURS[r], label=f"{r} {REGION_NAMES[r]}") for r in regions],
        loc="lower center",
        ncols=max(len(regions), 1),
        frameon=False,
        labelcolor=WHITE,
        fontsize=9,
    )
