"""What one cell of a panel shows: a slice under contours, or a close-up of the errors.

Shapes: `V H` rows (from the bottom) and columns of a slice. Axes are in mm.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.patheffects import Normal, Stroke

from lightning_brats.figures.planes import AXIAL, Plane, take
from lightning_brats.figures.scene import Scene
from lightning_brats.figures.style import AGREEMENT, FALSE, MISSED, REGION_COLOURS, WHITE
from lightning_brats.labels import REGIONS

LINES: dict[str, tuple[float, tuple[float, ...]]] = {
    "reference": (0, ()),
    "prediction": (0, (3.0, 1.6)),
}
"""Mask → dashes, as Matplotlib wants them: the reference is solid, the prediction dashed."""
CLEAREST = {"WT": "t2f", "TC": "t1c", "ET": "t1c", "RC": "t1c"}
"""Region → modality that shows it best, behind its map of errors."""
CLOSE_UP_MM = 60.0
"""Smallest side of a close-up."""


def line_of(scene: Scene, mask: str) -> tuple[float, tuple[float, ...]]:
    """Dashes of a mask's contours; a mask that is alone is drawn solid."""
    return LINES[mask if len(scene.masks) > 1 else "reference"]


def draw_slice(scene: Scene, plane: Plane, modality: str, axes: Axes) -> None:
    """The modality with every mask's regions as contours."""
    index = scene.focus[plane.axis]
    _show(axes, scene, plane, take(scene.channel(modality), plane, index))
    for name, mask in scene.masks.items():
        labels, line = take(mask, plane, index), line_of(scene, name)
        for region in scene.regions:
            _contour(axes, scene, plane, np.isin(labels, REGIONS[region]), region, line)
    across, up = scene.size(plane)
    axes.set(xlim=(0, across), ylim=(0, up))
    mark_sides(axes, plane)
    if plane is AXIAL and modality == scene.modalities[0]:
        _scale_bar(axes)


def draw_errors(scene: Scene, region: str, index: int, axes: Axes) -> None:
    """Close-up of an axial slice: voxels of the region in both masks, missed, or false."""
    grey = take(scene.channel(CLEAREST[region]), AXIAL, index)
    _show(axes, scene, AXIAL, 0.8 * grey)
    reference, prediction = (
        np.isin(take(scene.masks[name], AXIAL, index), REGIONS[region]) for name in LINES
    )
    colours = np.zeros((*grey.shape, 4))
    colours[reference & prediction] = to_rgba(AGREEMENT, 0.55)
    colours[reference & ~prediction] = to_rgba(MISSED, 0.95)
    colours[prediction & ~reference] = to_rgba(FALSE, 0.95)
    across, up = scene.size(AXIAL)
    axes.imshow(colours, origin="lower", extent=(0, across, 0, up), interpolation="nearest")
    centre, side = _close_up(scene, reference | prediction)
    axes.set(xlim=centre[0] + side * np.array([-0.5, 0.5]))
    axes.set(ylim=centre[1] + side * np.array([-0.5, 0.5]))
    mark_sides(axes, AXIAL)


def _show(axes: Axes, scene: Scene, plane: Plane, grey: np.ndarray) -> None:
    across, up = scene.size(plane)
    extent = (0, across, 0, up)
    axes.imshow(
        grey, "gray", vmin=0, vmax=1, origin="lower", extent=extent, interpolation="bicubic"
    )


def _contour(
    axes: Axes, scene: Scene, plane: Plane, inside: np.ndarray, region: str, line: tuple
) -> None:
    if not inside.any():
        return
    step_across, step_up = (scene.spacing[axis] for axis in plane.axes)
    rows, columns = inside.shape
    # A frame of zeros closes the contours of masks that reach the border.
    axes.contour(
        (np.arange(-1, columns + 1) + 0.5) * step_across,
        (np.arange(-1, rows + 1) + 0.5) * step_up,
        np.pad(inside, 1),
        levels=[0.5],
        colors=[REGION_COLOURS[region]],
        linestyles=[line],
        linewidths=1.4,
    )


def _close_up(scene: Scene, inside: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre and side, in mm, of a square around the voxels (V, H)."""
    steps = scene.spacing[list(AXIAL.axes)]
    rows, columns = np.nonzero(inside)
    first = np.array([columns.min(), rows.min()]) * steps
    last = np.array([columns.max() + 1, rows.max() + 1]) * steps
    return (first + last) / 2, max(CLOSE_UP_MM, 1.2 * float((last - first).max()))


def mark_sides(axes: Axes, plane: Plane) -> None:
    """Letters of what is on the left, on the right and at the top of a slice."""
    left, right, top = plane.sides
    outline = [Stroke(linewidth=2, foreground="black"), Normal()]
    for x, y, letter in ((0.03, 0.5, left), (0.97, 0.5, right), (0.5, 0.965, top)):
        axes.text(
            x,
            y,
            letter,
            color=WHITE,
            fontsize=9.5,
            fontweight="bold",
            ha="center",
            va="center",
            transform=axes.transAxes,
            path_effects=outline,
        )


def _scale_bar(axes: Axes) -> None:
    start, stop = axes.get_xlim()
    x = start + 0.03 * (stop - start) + np.array([0, 50])
    y = 0.035 * axes.get_ylim()[1]
    axes.plot(x, [y, y], color=WHITE, linewidth=1.6, solid_capstyle="butt")
    axes.text(x.mean(), 1.5 * y, "5 cm", color=WHITE, fontsize=8.5, ha="center", va="bottom")
