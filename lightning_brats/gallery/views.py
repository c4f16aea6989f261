"""One slice of a case before or after a transform: pictures, outlines, and what moved.

Shapes: `C` modalities, `x y z` a prepared volume, `V H` rows (from the top) and columns of a slice.
Outlines and lines are in mm from the upper left corner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.colors import to_rgb
from scipy import ndimage
from skimage.measure import approximate_polygon, find_contours

from lightning_brats.data.entry import CachedCase
from lightning_brats.data.geometry import Geometry
from lightning_brats.figures.planes import AXIAL, take, widest_slices
from lightning_brats.figures.window import window
from lightning_brats.gallery.applying import Applied
from lightning_brats.labels import REGIONS

CONTOURS = ("WT", "TC", "ET", "RC")
RULED_MM = 10.0
"""Between two lines of the grid."""
SMOOTHED = 1.2
"""Standard deviation in voxels: places come as whole voxels, and lines through them are stairs."""
STRONGEST = 0.25
"""Change of intensity, as a share of the window, that has the full colour."""
DARKER, BRIGHTER = "#56B4E9", "#E69F00"
Lines = Sequence[np.ndarray]
"""Polygons (n, 2) of x and y in mm."""


@dataclass(frozen=True)
class Frame:
    """How a case is looked at.

    Args:
        index: Axial slice.
        spacing: (3,) voxel size in mm.
        limits: Black and white of each modality, before the transform and after.
        modalities: C names.
    """

    index: int
    spacing: tuple[float, float, float]
    limits: Sequence[tuple[float, float]]
    modalities: Sequence[str]

    @classmethod
    def of(cls, entry: CachedCase, modalities: Sequence[str], index: int | None = None) -> Frame:
        """On the slice with most tumour, unless another one is wanted."""
        image, mask = np.asarray(entry.image, np.float32), entry.mask
        limits = [window(channel[channel != 0]) for channel in image]
        if index is None:
            shown = mask > 0 if mask is not None and (mask > 0).any() else (image != 0).any(0)
            index = widest_slices(shown)[AXIAL.axis]
        spacing = Geometry.from_dict(entry.meta["geometry"]).spacing
        return cls(min(max(index, 0), entry.shape[2] - 1), spacing, limits, modalities)

    def size(self, shape: Sequence[int]) -> tuple[float, float]:
        """Width and height in mm of a slice of an (x, y, z) volume."""
        return shape[0] * self.spacing[0], shape[1] * self.spacing[1]

    def slice(self, volume: np.ndarray) -> np.ndarray:
        """(x, y, z) → (V, H)."""
        return take(volume, AXIAL, self.index)[::-1]

    def grey(self, image: np.ndarray, channel: int) -> np.ndarray:
        """(V, H) from 0 to 1; black where the modality is exactly 0, which is background."""
        values = self.slice(image[channel])
        low, high = self.limits[channel]
        return np.where(values == 0, 0, np.clip((values - low) / max(high - low, 1e-6), 0, 1))

    def outline(
        self, inside: np.ndarray, level: float = 0.5, valid: np.ndarray | None = None
    ) -> Lines:
        """Where a slice (V, H) crosses a level."""
        mask = None if valid is None else np.pad(valid, 1)
        found = find_contours(np.pad(inside.astype(np.float32), 1), level, mask=mask)
        size = np.array([self.spacing[0], self.spacing[1]])
        # Of a voxel (row, column) the middle is half a voxel further; the frame added one.
        return [(approximate_polygon(line, 0.15)[:, ::-1] - 0.5) * size for line in found]


@dataclass(frozen=True)
class View:
    """A slice of a case, and what a transform did to it.

    Args:
        pictures: One (V, H) a modality, from 0 to 1.
        outlines: Region → its contours.
        change: (V, H, 3) colours: how intensities changed, or the slice under a moved grid.
        changed: What `change` shows.
        grid: Lines that were straight before the transform.
        ghost: Outline of the whole tumour before, where the mask moved.
    """

    pictures: Sequence[np.ndarray]
    outlines: Mapping[str, Lines]
    change: np.ndarray | None = None
    changed: str = ""
    grid: Lines = ()
    ghost: Lines = field(default=())


def view(frame: Frame, image: np.ndarray, mask: np.ndarray) -> View:
    """A case as it is."""
    pictures = [frame.grey(image, channel) for channel in range(len(image))]
    return View(pictures, _outlines(frame, mask))


def view_after(
    frame: Frame, before: tuple[np.ndarray, np.ndarray], after: Applied, places: Lines = ()
) -> View:
    """A case after a transform.

    Args:
        frame: How it is looked at.
        before: Image (C, x, y, z) and mask (x, y, z).
        after: What became of them.
        places: From `applying.places` along x and y, where space was warped.
    """
    image, mask = before
    own = view(frame, after.image, after.mask)
    if not np.array_equal(mask, after.mask):
        clearest = frame.modalities.index("t2f") if "t2f" in frame.modalities else -1
        shown = 0.6 * np.repeat(own.pictures[clearest][..., None], 3, -1)
        ghost = frame.outline(np.isin(frame.slice(mask), REGIONS["WT"]))
        grid = [line for axis, along in enumerate(places) for line in _ruled(frame, along, axis)]
        what = "grid of 1 cm, and the tumour before" if grid else "the tumour before"
        return View(own.pictures, own.outlines, shown, what, grid, ghost)
    colours, most = _difference(frame, image, after.image)
    return View(own.pictures, own.outlines, colours, most)


def _outlines(frame: Frame, mask: np.ndarray) -> dict[str, Lines]:
    labels = frame.slice(mask)
    found = {name: frame.outline(np.isin(labels, REGIONS[name])) for name in CONTOURS}
    return {name: lines for name, lines in found.items() if lines}


def _difference(frame: Frame, before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, str]:
    """(V, H, 3) change of the modality that changed most on the slice, and its name."""
    changes = []
    for channel, (low, high) in enumerate(frame.limits):
        change = frame.slice(after[channel]) - frame.slice(before[channel])
        changes.append(change / max(high - low, 1e-6))
    most = int(np.argmax([np.abs(change).mean() for change in changes]))
    strength = np.clip(changes[most] / STRONGEST, -1, 1)[..., None]
    colours = np.where(strength > 0, np.array(to_rgb(BRIGHTER)), np.array(to_rgb(DARKER)))
    return np.abs(strength) * colours, frame.modalities[most]


def _ruled(frame: Frame, places: np.ndarray, axis: int) -> Lines:
    """Lines of equal place along an axis, every `RULED_MM`."""
    along = frame.slice(places)
    valid = np.isfinite(along)
    if not valid.any():
        return []
    nearest = ndimage.distance_transform_edt(~valid, return_distances=False, return_indices=True)
    smooth = ndimage.gaussian_filter(along[tuple(nearest)], SMOOTHED, mode="nearest")
    step = RULED_MM / frame.spacing[axis]
    levels = np.arange(step, float(smooth.max()), step)
    return [line for level in levels for line in frame.outline(smooth, level, valid)]
