"""Slices of real and generated images, one above the other, with the contours of their masks.

Shapes: `C` modalities, `x y z` a prepared volume: cropped to the brain, its axes run right,
anterior, superior.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

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
    across, up = scenes[0].size(AXIAL)
    height = CELL * up / across
    size = CELL * len(modalities), (height + HEAD) * len(rows) + FOOT
    figure = Figure(figsize=size, facecolor=BLACK)
    for number, (row, scene) in enumerate(zip(rows, scenes, strict=True)):
        top = number * (height + HEAD)
        figure.text(
            0.008,
            1 - (top + 0.06) / size[1],
            row.caption,
            color=WHITE,
            fontsize=10,
            va="top",
            parse_math=False,
        )
        for column, modality in enumerate(scene.modalities):
            place = (
                column * CELL / size[0] + 0.002,
                1 - (top + HEAD + height) / size[1],
                CELL / size[0] - 0.004,
                height / size[1],
            )
            axes = figure.add_axes(place)
            axes.set_axis_off()
            draw_slice(scene, AXIAL, modality, axes)
            if number == 0:
                axes.set_title(
                    MODALITY_NAMES.get(modality, modality),
                    color=WHITE,
                    fontsize=9,
                    loc="right",
                    x=0.96,
                )
    regions = dict.fromkeys(region for scene in scenes for region in scene.regions)
    figure.legend(
        handles=[Patch(color=REGION_COLOURS[r], label=f"{r} {REGION_NAMES[r]}") for r in regions],
        loc="lower center",
        ncols=max(len(regions), 1),
        frameon=False,
        labelcolor=WHITE,
        fontsize=9,
    )
    return figure
