"""Pictures of an explanation: maps over anatomy, and what each modality contributed.

Shapes: C modalities, x y z the prepared volume, whose axes run right, anterior, superior.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from scipy import ndimage

from lightning_brats.explain.case import Explanation
from lightning_brats.explain.maps import CAM, GRADIENTS, gate_captions
from lightning_brats.figures.cells import CLEAREST, mark_sides
from lightning_brats.figures.planes import AXIAL, CORONAL, SAGITTAL, Plane, take, widest_slices
from lightning_brats.figures.plots import tidy
from lightning_brats.figures.slices import MODALITY_NAMES
from lightning_brats.figures.style import BLACK, GREY, REGION_COLOURS, WHITE
from lightning_brats.figures.window import window

PLANES = (AXIAL, CORONAL, SAGITTAL)
HEAT = LinearSegmentedColormap.from_list(
    "heat", [(0, "#00000000"), (0.25, "#6A00A880"), (0.6, "#E16462CC"), (1, "#F0F921F0")]
)
"""Plasma, transparent where there is nothing: readable with any colour vision."""
ROW, LABEL, HEAD, FOOT = 2.7, 1.9, 0.75, 0.35
"""Layout, in inches."""


def map_figure(found: Explanation) -> Figure:
    """Every map on axial, coronal and sagittal slices through the explained voxels."""
    shown = {"what was found": np.zeros(found.labels.shape, np.float32), **_shown(found)}
    spacing = np.asarray(found.geometry.spacing)
    widths = [found.labels.shape[plane.axes[0]] * spacing[plane.axes[0]] for plane in PLANES]
    heights = [found.labels.shape[plane.axes[1]] * spacing[plane.axes[1]] for plane in PLANES]
    scale = ROW / max(heights)
    size = (LABEL + scale * sum(widths) + 0.3, HEAD + ROW * len(shown) + FOOT)
    figure = Figure(figsize=size, facecolor=BLACK)
    grid = figure.subplots(
        len(shown),
        3,
        squeeze=False,
        gridspec_kw={
            "width_ratios": widths,
            "left": LABEL / size[0],
            "right": 1 - 0.1 / size[0],
            "top": 1 - HEAD / size[1],
            "bottom": FOOT / size[1],
            "wspace": 0.03,
            "hspace": 0.04,
        },
    )
    focus = widest_slices(found.inside)
    for row, (name, values) in zip(grid, shown.items(), strict=True):
        for axes, plane in zip(row, PLANES, strict=True):
            _draw(axes, found, plane, focus[plane.axis], values)
        row[0].text(-0.04, 0.5, name, color=WHITE, fontsize=10.5, ha="right", va="center",
                    transform=row[0].transAxes, parse_math=False)  # fmt: skip
    for axes, plane in zip(grid[0], PLANES, strict=True):
        axes.set_title(plane.name, color=GREY, fontsize=10)
    _annotate(figure, found)
    return figure


def modality_figure(found: Explanation) -> Figure:
    """What becomes of every region without each modality."""
    table = found.contributions
    scored = "dice" in table
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    _bars(left, found, "dice_without" if scored else "dice_with_all", "dice" if scored else None)
    left.set_title("Dice with the reference" if scored else "Dice with the mask of all modalities")
    left.set_ylim(0, 1.05)
    _bars(right, found, "volume_ml_without", "volume_ml")
    right.set_title("Volume, ml")
    for axes in (left, right):
        tidy(axes)
    handles, labels = right.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False,
                  fontsize=9)  # fmt: skip
    return figure


def _shown(found: Explanation) -> Mapping[str, np.ndarray]:
    """Caption → map in [0, 1]."""
    brain = (found.image != 0).any(0)
    captions = gate_captions(found.maps)
    shown = {caption: found.maps[name] * brain for name, caption in captions.items()}
    magnitude = sum(np.abs(found.maps[f"{GRADIENTS}_{m}"]) for m in found.modalities)
    smooth = ndimage.gaussian_filter(magnitude, 1.0)
    inside = smooth[found.focus.box]
    shown["Grad-CAM"] = found.maps[CAM]
    limit = max(float(np.quantile(inside, 0.998)), 1e-12)
    shown["integrated gradients\n(magnitude, smoothed)"] = np.clip(smooth / limit, 0, 1)
    return shown


def _draw(axes: Axes, found: Explanation, plane: Plane, index: int, values: np.ndarray) -> None:
    modality = CLEAREST.get(found.region, "t1c")
    known = modality in found.modalities
    image = found.image[found.modalities.index(modality) if known else -1]
    low, high = window(image[image != 0])
    spacing = found.geometry.spacing
    across, up = (found.labels.shape[axis] * spacing[axis] for axis in plane.axes)
    place: dict[str, Any] = {"origin": "lower", "extent": (0, across, 0, up)}
    grey = np.where(take(image, plane, index) == 0, low, take(image, plane, index))
    axes.imshow(grey, "gray", vmin=low, vmax=high, interpolation="bicubic", **place)
    heat: Colormap = HEAT
    axes.imshow(take(values, plane, index), heat, vmin=0, vmax=1, interpolation="nearest", **place)
    inside = take(found.inside.astype(float), plane, index)
    if inside.any():
        rows, columns = inside.shape
        axes.contour(
            (np.arange(-1, columns + 1) + 0.5) * across / columns,
            (np.arange(-1, rows + 1) + 0.5) * up / rows,
            np.pad(inside, 1),
            levels=[0.5],
            colors=[REGION_COLOURS[found.region]],
            linewidths=1.1,
        )
    axes.set(xlim=(0, across), ylim=(0, up))
    axes.set_axis_off()
    mark_sides(axes, plane)


def _annotate(figure: Figure, found: Explanation) -> None:
    height = figure.get_figheight()
    figure.text(
        0.012,
        1 - 0.12 / height,
        f"{found.case}: what the network's {found.region} depends on",
        color=WHITE,
        fontsize=13,
        fontweight="bold",
        va="top",
        parse_math=False,
    )
    figure.text(
        0.988,
        0.1 / height,
        f"line: the {found.region} explained · bright: more · the patient's left is on the right",
        color=GREY,
        fontsize=9,
        ha="right",
    )


def _bars(axes: Axes, found: Explanation, column: str, complete: str | None) -> None:
    """A group a modality, a bar a region; a tick marks the value with all modalities."""
    table = found.contributions
    modalities = list(dict.fromkeys(table["modality"]))
    regions = list(dict.fromkeys(table["region"]))
    width = 0.8 / len(regions)
    for number, region in enumerate(regions):
        rows = table[table["region"] == region].set_index("modality").loc[modalities]
        places = np.arange(len(modalities)) + (number - (len(regions) - 1) / 2) * width
        axes.bar(places, rows[column], 0.9 * width, color=REGION_COLOURS[region], label=region)
        whole = rows[complete] if complete else np.ones(len(rows))
        axes.hlines(
            whole,
            places - 0.45 * width,
            places + 0.45 * width,
            color="#20242C",
            linewidth=1.6,
            label="with all modalities" if region == regions[-1] else "_",
        )
    names = [f"without\n{MODALITY_NAMES.get(name, name)}" for name in modalities]
    axes.set_xticks(range(len(modalities)), names)
