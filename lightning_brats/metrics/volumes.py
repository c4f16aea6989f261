"""From two label volumes to what the protocols work on: checked, cropped, in one memory order."""

from __future__ import annotations

import math
import operator
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from lightning_brats.errors import DataError
from lightning_brats.labels import RC, REGIONS

Volume = np.ndarray | str | Path
Spacing = tuple[float, float, float]
Box = tuple[slice, ...]

MARGIN = 5
"""Voxels kept around the foreground: the largest dilation of any protocol, since lesions are
numbered by the first voxel of their dilation."""
BLOCK = 12
"""Foreground in blocks of this edge that do not touch is at least 13 voxels apart: two dilations
of `MARGIN` never meet."""
BOX_COST = 50_000
"""Every crop costs some time of its own, about that of so many voxels."""
AFFINE_TOLERANCE = 1e-2
"""Largest harmless difference between two affines in mm: releases differ by 1e-3."""


@dataclass(frozen=True)
class Crop:
    """A box around foreground that is far from all other foreground.

    Args:
        origin: (3,) voxel of the volume where the box starts.
        reference: (x, y, z) uint8 labels, C order: lesions are numbered along it.
        prediction: (x, y, z) uint8 labels.
    """

    origin: np.ndarray
    reference: np.ndarray
    prediction: np.ndarray

    def masks(self, region: str) -> tuple[np.ndarray, np.ndarray]:
        """Boolean reference and prediction of a region."""
        first, second = (
            reduce(operator.or_, [labels == label for label in REGIONS[region]])
            for labels in (self.reference, self.prediction)
        )
        return first, second


@dataclass(frozen=True)
class LabelPair:
    """Reference and prediction of one case, as crops that hold all foreground.

    Args:
        crops: At least one.
        spacing: Voxel edge lengths in mm.
        shape: Of the volume.
    """

    crops: tuple[Crop, ...]
    spacing: Spacing
    shape: tuple[int, ...]

    def masks(self, region: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Boolean references and predictions of a region, crop by crop."""
        first, second = zip(*(crop.masks(region) for crop in self.crops), strict=True)
        return list(first), list(second)

    def holds(self, label: int) -> bool:
        """Does either volume have voxels of this label?"""
        return any(
            (c.reference == label).any() or (c.prediction == label).any() for c in self.crops
        )


def label_pair(reference: Volume, prediction: Volume, spacing: Spacing | None) -> LabelPair:
    """Check two volumes and crop them; see `score_case`."""
    names = [str(v) if isinstance(v, str | Path) else None for v in (reference, prediction)]
    arrays, affines, zooms = zip(*map(_read, (reference, prediction)), strict=True)
    _check_grids(arrays, affines, names)
    first, second = (_labels(array, name) for array, name in zip(arrays, names, strict=True))
    if spacing is None:
        spacing = zooms[0] or (1.0, 1.0, 1.0)
    if len(spacing) != 3 or not all(np.isfinite(s) and s > 0 for s in spacing):
        raise DataError(f"the spacing is {spacing}, expected three positive lengths in mm")
    crops = tuple(
        Crop(np.array([s.start for s in box]), *(_cut(v, box, keep) for v in (first, second)))
        for box, keep in _clusters(first | second)
    )
    return LabelPair(crops, tuple(map(float, spacing)), first.shape)  # type: ignore[arg-type]


def _read(volume: Volume) -> tuple[np.ndarray, np.ndarray | None, Spacing | None]:
    if not isinstance(volume, str | Path):
        return np.asarray(volume), None, None
    try:
        image = nib.load(volume)
        zooms = tuple(float(z) for z in image.header.get_zooms()[:3])  # type: ignore[attr-defined]
        return np.asanyarray(image.dataobj), np.asarray(image.affine), zooms  # type: ignore
    except (nib.filebasedimages.ImageFileError, OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"missing, unreadable or truncated NIfTI file ({error})",
            file=volume,
            remedy="restore the file",
        ) from error


def _check_grids(
    arrays: tuple[np.ndarray, ...],
    affines: tuple[np.ndarray | None, ...],
    names: list[str | None],
) -> None:
    first, second = arrays
    if first.shape != second.shape or first.ndim != 3:
        raise DataError(
            f"the prediction has shape {second.shape}, the reference {first.shape}; "
            "expected two equal 3-D shapes",
            file=names[1],
            remedy="resample the prediction onto the reference's grid",
        )
    if affines[0] is None or affines[1] is None:
        return
    difference = float(np.abs(affines[0] - affines[1]).max())
    if difference > AFFINE_TOLERANCE:
        raise DataError(
            f"the affines of prediction and reference differ by {difference:.3g}",
            file=names[1],
            remedy="resample the prediction onto the reference's grid, or correct its header",
        )


def _labels(array: np.ndarray, name: str | None) -> np.ndarray:
    """Array → uint8 labels 0 to 4."""
    if array.dtype == bool or array.dtype == np.uint8:
        labels = array.view(np.uint8)
    else:
        with np.errstate(invalid="ignore"):
            labels = array.astype(np.uint8)
        if not np.array_equal(labels, array):
            labels = np.array([RC + 1], np.uint8)
    if labels.size and labels.max() > RC:
        found = np.unique(array)
        raise DataError(
            f"the values are {found[:8].tolist()}, expected the labels 0 to {RC}",
            file=name,
            remedy="translate the volume with its LabelScheme (lightning_brats.labels) first",
        )
    return labels


def _clusters(foreground: np.ndarray) -> Iterator[tuple[Box, np.ndarray | None]]:
    """Boxes around groups of foreground, and for each what of the box belongs to it (or all)."""
    whole = _bounds(foreground)
    blocks = foreground[whole]
    for axis, length in enumerate(blocks.shape):
        blocks = np.bitwise_or.reduceat(blocks, np.arange(0, length, BLOCK), axis)
    groups, count = ndimage.label(blocks, np.ones((3, 3, 3)))
    boxes = [_scaled(box, whole, foreground.shape) for box in ndimage.find_objects(groups)]
    if count <= 1 or sum(_voxels(box) + BOX_COST for box in boxes) > _voxels(whole):
        yield whole, None
        return
    for number, box in enumerate(boxes, 1):
        index = [
            np.clip((np.arange(s.start, s.stop) - w.start) // BLOCK, 0, n - 1)
            for s, w, n in zip(box, whole, groups.shape, strict=True)
        ]
        yield box, groups[np.ix_(*index)] == number


def _bounds(foreground: np.ndarray) -> Box:
    """Bounding box of non-zero voxels with a margin, within the volume."""
    box = []
    for axis, length in enumerate(foreground.shape):
        used = np.flatnonzero(foreground.any(axis=tuple({0, 1, 2} - {axis})))
        low, high = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)
        box.append(slice(max(0, low - MARGIN), min(length, high + MARGIN)))
    return tuple(box)


def _scaled(blocks: Box, whole: Box, shape: tuple[int, ...]) -> Box:
    """Box in blocks → box in voxels with a margin, within the volume."""
    return tuple(
        slice(
            max(0, w.start + b.start * BLOCK - MARGIN),
            min(n, w.start + b.stop * BLOCK + MARGIN),
        )
        for b, w, n in zip(blocks, whole, shape, strict=True)
    )


def _voxels(box: Box) -> int:
    return math.prod(s.stop - s.start for s in box)


def _cut(labels: np.ndarray, box: Box, keep: np.ndarray | None) -> np.ndarray:
    part = np.ascontiguousarray(labels[box])
    return part if keep is None else part * keep
