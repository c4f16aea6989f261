"""Slices drawn on this machine: of what a transform does, and where the browser cannot.

Shapes: `C` modalities, `X Y Z` voxels.
"""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import numpy as np
from matplotlib.figure import Figure

from lightning_brats.app.augmenting import Sample
from lightning_brats.app.segmenting import Result
from lightning_brats.data.reading import read_native
from lightning_brats.figures.cells import draw_slice
from lightning_brats.figures.planes import AXIAL, CORONAL, SAGITTAL, Plane, widest_slices
from lightning_brats.figures.scene import Scene, make_scene
from lightning_brats.figures.style import BLACK, WHITE
from lightning_brats.figures.window import window

PLANES = (AXIAL, CORONAL, SAGITTAL)
DPI = 110


def before_and_after(before: Sample, after: Sample, modality: str) -> bytes:
    """Slices of a sample, of what a transform made of it below, as PNG; one grey scale for both."""
    place = list(before.modalities).index(modality)
    grey = before.image[place]
    low, high = window(grey[grey != 0])
    inside = before.labels > 0 if before.labels.any() else grey != 0
    focus = widest_slices(inside)
    scenes = [_scene(sample, place, (low, high), focus) for sample in (before, after)]
    figure = Figure(figsize=(10.5, 7.4), facecolor=BLACK)
    cells = figure.subplots(2, 3, gridspec_kw={"wspace": 0.03, "hspace": 0.1})
    figure.subplots_adjust(0.01, 0.01, 0.99, 0.95)
    for row, scene, name in zip(cells, scenes, ("as it is", "augmented"), strict=True):
        for axes, plane in zip(row, PLANES, strict=True):
            axes.set_axis_off()
            draw_slice(scene, plane, modality, axes)
            axes.set_title(f"{name}, {plane.name}", color=WHITE, fontsize=10, loc="left", pad=4)
    return png(figure)


def slices(result: Result, modality: str, shares: tuple[float, float, float]) -> bytes:
    """Three slices of a result with the segmentation as contours, as PNG.

    Args:
        result: Of a segmentation.
        modality: To show.
        shares: Where the slices are along the axes, 0 to 1.
    """
    scene = scene_of(result)
    shape = scene.image.shape[1:]
    x, y, z = (round(share * (size - 1)) for share, size in zip(shares, shape, strict=True))
    scene = replace(scene, focus=(x, y, z))
    figure = Figure(figsize=(12, 4.6), facecolor=BLACK)
    cells = figure.subplots(1, 3, gridspec_kw={"wspace": 0.03})
    figure.subplots_adjust(0.01, 0.01, 0.99, 0.93)
    for axes, plane in zip(cells, PLANES, strict=True):
        axes.set_axis_off()
        draw_slice(scene, plane, modality, axes)
        axes.set_title(_title(plane), color=WHITE, fontsize=10, loc="left", pad=4)
    return png(figure)


def scene_of(result: Result) -> Scene:
    """A result ready for drawing; its focus is where the segmentation is widest."""
    volume = read_native(result.segmented)
    masks: dict[str, np.ndarray | None] = {"prediction": volume.mask}
    return make_scene(volume.image, list(result.case.images), masks, volume.affine, volume.brain)


def _scene(
    sample: Sample, place: int, limits: tuple[float, float], focus: tuple[int, int, int]
) -> Scene:
    low, high = limits
    grey = np.clip((sample.image - low) / max(high - low, 1e-6), 0, 1)
    # What is not brain is 0 in a normalised image, which would be grey.
    grey[:, (sample.image == 0).all(0)] = 0
    names = tuple(sample.modalities)
    masks = {"reference": sample.labels} if sample.labels.any() else {}
    affine = np.diag([*sample.spacing, 1.0])
    return Scene(grey[place : place + 1], names[place : place + 1], masks, affine, focus)


def _title(plane: Plane) -> str:
    return f"{plane.name}, patient's left on the right" if plane is not SAGITTAL else plane.name


def png(figure: Figure) -> bytes:
    """A figure as a PNG file."""
    out = BytesIO()
    figure.savefig(out, dpi=DPI, facecolor=figure.get_facecolor())
    return out.getvalue()
