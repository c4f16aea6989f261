"""Numbered objects of a region: connected components, and lesions that dilation joins.

Shapes: `n` objects, `x y z` voxels of a crop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cc3d
import numpy as np

from lightning_brats.metrics.volumes import Crop


@dataclass(frozen=True)
class Objects:
    """Objects of one mask, crop by crop.

    Args:
        labels: (x, y, z) number of each voxel's object, 0 background; one array a crop.
        count: Highest number.
    """

    labels: Sequence[np.ndarray]
    count: int

    def sizes(self) -> np.ndarray:
        """(n + 1,) voxels of each object; entry 0 is 0."""
        counts = [np.bincount(part[part != 0], minlength=self.count + 1) for part in self.labels]
        return np.sum(counts, axis=0)

    def renumber(self, numbers: np.ndarray) -> Objects:
        """Object `i` becomes `numbers[i]`; 0 removes it, and equal numbers merge."""
        if np.array_equal(numbers, np.arange(self.count + 1)):
            return self
        count = int(numbers.max())
        numbers = numbers.astype(np.min_scalar_type(count))
        return Objects([numbers[labels] for labels in self.labels], count)

    def without_small(self, voxels: float) -> Objects:
        """Objects of more than `voxels` voxels, numbered anew in the same order."""
        large = self.sizes() > voxels
        return self if large[1:].all() else self.renumber(np.cumsum(large) * large)


def single(masks: Sequence[np.ndarray]) -> Objects:
    """The whole mask as one object."""
    return Objects([mask.view(np.uint8) for mask in masks], 1)


def connected(
    masks: Sequence[np.ndarray], crops: Sequence[Crop], shape: tuple[int, ...]
) -> Objects:
    """26-connected components, numbered in raster order of the volume."""
    return _number([components(mask) for mask in masks], crops, shape)


def dilated(
    masks: Sequence[np.ndarray], times: int, crops: Sequence[Crop], shape: tuple[int, ...]
) -> tuple[Objects, Objects]:
    """Lesions: voxels whose dilations hang together; and the same lesions dilated.

    They are numbered in raster order of the dilated mask, first axis slowest.
    """
    grown = connected([dilate(mask, times) for mask in masks], crops, shape)
    own = [labels * mask for labels, mask in zip(grown.labels, masks, strict=True)]
    return Objects(own, grown.count), grown


def components(mask: np.ndarray) -> np.ndarray:
    """26-connected components of one array, numbered in raster order, in the smallest type."""
    labels, count = cc3d.connected_components(mask, connectivity=26, return_N=True)
    return labels.astype(np.min_scalar_type(count), copy=False)


def dilate(mask: np.ndarray, times: int) -> np.ndarray:
    """Dilation by the 18-neighbour element, repeated.

    The element is the union of three flat 3×3 squares, and each of those is two passes of a
    three-voxel line, so that one dilation is five passes over the volume.
    """
    for _ in range(times):
        along_x, along_y = _spread(mask, 0), _spread(mask, 1)
        mask = _spread(along_x, 1)
        mask |= _spread(along_x, 2)
        mask |= _spread(along_y, 2)
    return mask


def _spread(mask: np.ndarray, axis: int) -> np.ndarray:
    out = mask.copy()
    here, source = np.moveaxis(out, axis, 0), np.moveaxis(mask, axis, 0)
    here[1:] |= source[:-1]
    here[:-1] |= source[1:]
    return out


def _number(labels: list[np.ndarray], crops: Sequence[Crop], shape: tuple[int, ...]) -> Objects:
    """Number the objects of all crops by their first voxel in the volume."""
    if len(labels) == 1:
        return Objects(labels, int(labels[0].max()))
    firsts = [_first_voxels(part, crop, shape) for part, crop in zip(labels, crops, strict=True)]
    starts = np.cumsum([0] + [len(first) for first in firsts])
    count = int(starts[-1])
    rank = np.zeros(count + 1, np.min_scalar_type(count))
    rank[1 + np.argsort(np.concatenate(firsts))] = np.arange(1, count + 1)
    tables = [np.append(rank[:1], rank[1 + a : 1 + b]) for a, b in pairwise(starts)]
    return Objects([t[part] for part, t in zip(labels, tables, strict=True)], count)


def _first_voxels(labels: np.ndarray, crop: Crop, shape: tuple[int, ...]) -> np.ndarray:
    """(n,) raster index in the volume of each object's first voxel."""
    inside = np.flatnonzero(labels)
    highest = np.maximum.accumulate(labels.ravel()[inside])
    index = inside[np.flatnonzero(np.diff(highest, prepend=0))]
    position = np.stack(np.unravel_index(index, labels.shape)) + crop.origin[:, None]
    return np.ravel_multi_index(tuple(position), shape)
