"""Pictures of a follow-up: volumes over time, and where the tumour came, stayed and went.

Shapes: X Y Z the first point's grid.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lightning_brats.data.raw.scan import bring
from lightning_brats.figures.cells import mark_sides
from lightning_brats.figures.planes import AXIAL, bounding_box, take, to_ras, widest_slices
from lightning_brats.figures.plots import tidy
from lightning_brats.figures.style import (
    BLACK,
    REGION_COLOURS,
    REGION_SYMBOLS,
    WHITE,
)
from lightning_brats.figures.window import window
from lightning_brats.followup.course import GONE, NEW, STABLE, FollowUp
from lightning_brats.labels import REGION_NAMES

COLOURS = {STABLE: "#F0E442", NEW: "#D55E00", GONE: "#56B4E9"}
NAMES = {STABLE: "stable", NEW: "new", GONE: "gone"}
CELL, LABEL, HEAD, FOOT, GAP = 3.0, 1.9, 0.85, 0.5, 0.08
"""Layout, in inches."""
MARGIN = 8.0
"""mm shown around the head, or around the masks where there is no image."""


def volume_figure(found: FollowUp) -> Figure:
    """Volume of every region over time; over dates where all are known."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    axes = figure.subplots()
    dated = all(point.day is not None for point in found.points)
    names = [point.name for point in found.points]
    places = [point.day for point in found.points] if dated else list(range(len(names)))
    for region in found.regions:
        rows = found.volumes[found.volumes["region"] == region].set_index("point").loc[names]
        axes.plot(
            places,  # type: ignore[arg-type]
            rows["ml"],
            color=REGION_COLOURS[region],
            marker=REGION_SYMBOLS[region],
            linewidth=1.8,
            label=f"{region} {REGION_NAMES[region]}",
        )
    axes.set(title="Volume, ml", ylim=(0, 1.08 * max(float(found.volumes["ml"].max()), 0.1)))
    if dated:
        locator = AutoDateLocator(maxticks=8)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    else:
        axes.set_xticks(range(len(names)), names)
    tidy(axes)
    figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    return figure


def change_figure(found: FollowUp) -> Figure:
    """A row an interval, a column a region: the axial slice with the largest change."""
    intervals, first = found.intervals, found.points[0]
    image, inside = _background(found)
    affine = to_ras(image, first.affine)[1]
    step = np.linalg.norm(affine[:3, :3], axis=0)
    box = bounding_box(inside, np.ceil(MARGIN / step).astype(int))
    aspect = (box[1].stop - box[1].start) * step[1] / ((box[0].stop - box[0].start) * step[0])
    columns = len(found.regions)
    size = (
        LABEL + columns * (CELL + GAP),
        HEAD + len(intervals) * (CELL * aspect + GAP) + FOOT,
    )
    figure = Figure(figsize=size, facecolor=BLACK)
    for row, (start, end) in enumerate(intervals):
        top = HEAD + row * (CELL * aspect + GAP)
        figure.text(
            (LABEL - 0.12) / size[0],
            1 - (top + CELL * aspect / 2) / size[1],
            f"{start}\nto\n{end}",
            color=WHITE,
            fontsize=9,
            ha="right",
            va="center",
            parse_math=False,
        )
        for column, region in enumerate(found.regions):
            left, bottom = LABEL + column * (CELL + GAP), size[1] - top - CELL * aspect
            corner = (left / size[0], bottom / size[1])
            axes = figure.add_axes((*corner, CELL / size[0], CELL * aspect / size[1]))
            change = to_ras(found.change(start, end, region), first.affine)[0][box]
            _draw(axes, image[box], change, step)
            if not row:
                axes.set_title(region, color=WHITE, fontsize=11)
    _annotate(figure, f"Change since {first.name}" if len(intervals) == 1 else "Changes")
    return figure


def _background(found: FollowUp) -> tuple[np.ndarray, np.ndarray]:
    """The first point's image on its mask's grid, RAS+; and what of it is worth showing."""
    first = found.points[0]
    x, y, z = first.labels.shape
    if first.scan is None:
        image = np.zeros((x, y, z), np.float32)
        inside = np.any([labels > 0 for labels in found.aligned.values()], axis=0)
    else:
        image = bring(first.scan, (x, y, z), first.affine, np.eye(4))
        inside = image != 0
    return to_ras(image, first.affine)[0], to_ras(inside, first.affine)[0]


def _draw(axes: Axes, image: np.ndarray, change: np.ndarray, step: np.ndarray) -> None:
    changed = (change == NEW) | (change == GONE)
    index = widest_slices(changed if changed.any() else change > 0)[AXIAL.axis]
    grey = take(image, AXIAL, index)
    low, high = window(image[image != 0])
    across, up = grey.shape[1] * step[0], grey.shape[0] * step[1]
    place: dict[str, Any] = {"origin": "lower", "extent": (0, across, 0, up)}
    axes.imshow(grey, "gray", vmin=low, vmax=high, interpolation="bicubic", **place)
    colours = np.zeros((*grey.shape, 4))
    values = take(change, AXIAL, index)
    for value, colour in COLOURS.items():
        colours[values == value] = to_rgba(colour, 0.35 if value == STABLE else 0.85)
    axes.imshow(colours, interpolation="nearest", **place)
    axes.set_axis_off()
    mark_sides(axes, AXIAL)


def _annotate(figure: Figure, title: str) -> None:
    height = figure.get_figheight()
    figure.text(0.015, 1 - 0.12 / height, title, color=WHITE, fontsize=13, fontweight="bold",
                va="top", parse_math=False)  # fmt: skip
    figure.legend(
        handles=[Patch(color=COLOURS[value], label=name) for value, name in NAMES.items()],
        loc="lower center",
        bbox_to_anchor=(0.5, 0.06 / height),
        ncols=3,
        frameon=False,
        labelcolor=WHITE,
        fontsize=10,
    )
