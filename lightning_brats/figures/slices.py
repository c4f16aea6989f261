"""One case on one picture: every modality, both masks, and where they disagree.

Shapes: `C` modalities, `X Y Z` voxels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from lightning_brats.figures.cells import draw_errors, draw_slice, line_of
from lightning_brats.figures.planes import AXIAL, CORONAL, SAGITTAL, Plane
from lightning_brats.figures.scene import Scene, make_scene
from lightning_brats.figures.style import (
    AGREEMENT,
    BLACK,
    FALSE,
    GREY,
    MISSED,
    REGION_COLOURS,
    WHITE,
)
from lightning_brats.labels import REGION_NAMES

MODALITY_NAMES = {"t1n": "T1", "t1c": "T1 with contrast", "t2w": "T2", "t2f": "FLAIR"}
WIDTH, GAP, CAPTION, HEAD, FOOT = 13.0, 0.12, 0.34, 0.6, 0.62
"""Layout, in inches."""


class Cell(NamedTuple):
    """One slice of the panel: its caption, its height over its width, and what draws it."""

    caption: str
    aspect: float
    draw: Callable[[Axes], None]


def case_panel(
    image: np.ndarray,
    modalities: Sequence[str],
    reference: np.ndarray | None,
    prediction: np.ndarray | None,
    affine: np.ndarray,
    title: str = "",
    brain: np.ndarray | None = None,
) -> Figure:
    """Draw a case: all modalities, coronal and sagittal slices, and what was missed or false.

    The slices are those with the largest tumour area in the reference (in the prediction where
    there is none). The patient's left is on the right, whatever order the voxels are stored in.

    Args:
        image: (C, X, Y, Z), any intensity scale.
        modalities: C names.
        reference: Internal labels (X, Y, Z), drawn as solid lines.
        prediction: Internal labels (X, Y, Z), drawn as dashed lines (solid without a reference).
        affine: (4, 4) voxel → RAS+ mm.
        title: Printed over the panel.
        brain: (X, Y, Z) bool; without it, the brain is where any modality is not 0.

    Raises:
        DataError: Channels and names, or shapes, do not agree.
    """
    masks = {"reference": reference, "prediction": prediction}
    scene = make_scene(image, modalities, masks, affine, brain)
    rows = _rows(scene)
    pitches = [(WIDTH - GAP) / max(len(row), 4) for row in rows]
    heights = [
        (pitch - GAP) * max(cell.aspect for cell in row) + CAPTION
        for pitch, row in zip(pitches, rows, strict=True)
    ]
    figure = Figure(figsize=(WIDTH, HEAD + sum(heights) + FOOT), facecolor=BLACK)
    top = HEAD
    for row, pitch, height in zip(rows, pitches, heights, strict=True):
        left = (WIDTH - pitch * len(row) + GAP) / 2
        for number, cell in enumerate(row):
            corner = (left + number * pitch, top + CAPTION)
            _add_cell(figure, cell, corner, (pitch - GAP, height - CAPTION))
        top += height
    _annotate(figure, scene, title)
    return figure


def _rows(scene: Scene) -> list[list[Cell]]:
    slices = [_slice_cell(scene, AXIAL, modality) for modality in scene.modalities]
    planes = [_slice_cell(scene, plane, "t2f") for plane in (CORONAL, SAGITTAL)]
    errors = [_error_cell(scene, region) for region in scene.regions if len(scene.masks) == 2]
    rows = [slices, planes + errors] if len(slices) > 2 else [slices + planes, errors]
    return [row for row in rows if row]


def _slice_cell(scene: Scene, plane: Plane, modality: str) -> Cell:
    name = MODALITY_NAMES.get(modality, modality) if plane is AXIAL else plane.name
    across, up = scene.size(plane)
    caption = _caption(scene, name, plane, scene.focus[plane.axis])
    return Cell(caption, up / across, partial(draw_slice, scene, plane, modality))


def _error_cell(scene: Scene, region: str) -> Cell:
    index = scene.widest_axial(region)
    caption = _caption(scene, f"{region} errors", AXIAL, index)
    return Cell(caption, 1.0, partial(draw_errors, scene, region, index))


def _caption(scene: Scene, name: str, plane: Plane, index: int) -> str:
    position = f"{scene.position(plane, index):.0f}".replace("-", "−")
    return f"{name}  ·  {'xyz'[plane.axis]} = {position} mm"


def _add_cell(
    figure: Figure, cell: Cell, corner: tuple[float, float], size: tuple[float, float]
) -> None:
    """Place a cell by its upper left corner and its size, in inches from the upper left."""
    width, height = figure.get_size_inches()
    bottom = height - corner[1] - size[1]
    axes = figure.add_axes(
        (corner[0] / width, bottom / height, size[0] / width, size[1] / height),
        anchor="N",
    )
    axes.set_axis_off()
    cell.draw(axes)
    axes.set_title(cell.caption, color=WHITE, fontsize=10.5, loc="left", pad=5, parse_math=False)


def _annotate(figure: Figure, scene: Scene, title: str) -> None:
    height = figure.get_figheight()
    margin = GAP / WIDTH
    figure.text(
        margin,
        1 - 0.2 / height,
        title,
        color=WHITE,
        fontsize=14,
        fontweight="bold",
        va="top",
        parse_math=False,
    )
    figure.text(
        1 - margin,
        1 - 0.24 / height,
        "radiological view: the patient's left is on the right",
        color=GREY,
        fontsize=10,
        ha="right",
        va="top",
    )
    lines = [
        Line2D([], [], color=WHITE, linestyle=line_of(scene, name), label=name)
        for name in scene.masks
    ]
    regions = [
        Patch(color=REGION_COLOURS[region], label=f"{region} {REGION_NAMES[region]}")
        for region in scene.regions
    ]
    kinds = {"in both": AGREEMENT, "missed": MISSED, "false": FALSE}
    errors = [Patch(color=colour, label=kind) for kind, colour in kinds.items()]
    handles = [*lines, *regions, *(errors if len(scene.masks) == 2 else [])]
    figure.legend(
        handles=handles,
        loc="lower center",
        bbox_to_anchor=(0.5, 0.08 / height),
        ncols=len(handles),
        frameon=False,
        labelcolor=WHITE,
        fontsize=10,
        columnspacing=1.6,
        handlelength=1.8,
    )
