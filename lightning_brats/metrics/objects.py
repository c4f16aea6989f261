"""Numbered objects of a region: connected components, and lesions that dilation joins.

Shapes: `n` objects, `x y z` voxels of a crop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cc3d
import numpy as np

from lightning_brats.metrics.volumes import Crop


@dataclass(frozen=True)
class Objects:
    """Objects of one mask, crop by crop.

    Args:
        labels: (x, y, z) number of each voxel's object, 0 background.
        grown: (x, y, z) the same for the dilated objects, which never overlap.
        count: Highest number.
    """

    labels: Sequence[np.ndarray]
    grown: Sequence[np.ndarray]
    count: int

    @classmethod
    def of(
        cls,
        masks: Sequence[np.ndarray],
        dilations: int,
        crops: Sequence[Crop],
        shape: tuple[int, ...],
    ) -> Objects:
        """Voxels whose dilations hang together are one object; 26-connected components for 0.

        Objects are numbered in raster order of the dilated mask, first axis slowest.
        """
        grown = [components(dilate(mask, dilations)) for mask in masks]
        grown, count = _number(grown, crops, shape)
        return cls([g * m for g, m in zip(grown, masks, strict=True)], grown, count)

    @classmethod
    def single(cls, masks: Sequence[np.ndarray]) -> Objects:
        """The whole mask as one object."""
        labels = [mask.view(np.uint8) for mask in masks]
        return cls(labels, labels, 1)

    def sizes(self) -> np.ndarray:
        """(n + 1,) voxels of each object; entry 0 is 0."""
        return sum(
            np.bincount(labels[labels != 0], minlength=self.count + 1) for labels in self.labels
        )

    def renumber(self, numbers: np.ndarray) -> Objects:
        """Object `i` becomes `numbers[i]`; 0 removes it, and equal numbers merge."""
        if np.array_equal(numbers, np.arange(self.count + 1)):
            return self
        numbers = numbers.astype(np.int32)
        return Objects(
            [numbers[labels] for labels in self.labels],
            [numbers[grown] for grown in self.grown],
            int(numbers.max()),
        )

    def without_small(self, voxels: float) -> Objects:
        """Objects of more than `voxels` voxels, numbered anew in the same order."""
        large = self.sizes() > voxels
        return self if large[1:].all() else self.renumber(np.cumsum(large) * large)


def components(mask: np.ndarray) -> np.ndarray:
    """26-connected components, numbered in raster order."""
    return cc3d.connected_components(mask, connectivity=26)


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


def _number(
    labels: list[np.ndarray], crops: Sequence[Crop], shape: tuple[int, ...]
) -> tuple[list[np.ndarray], int]:
    """Number the objects of all crops by their first voxel in the volume; and how many."""
    if len(labels) == 1:
        return labels, int(labels[0].max())
    firsts = [_first_voxels(part, crop, shape) for part, crop in zip(labels, crops, strict=True)]
    counts = [len(first) for first in firsts]
    rank = np.empty(sum(counts), np.int32)
    rank[np.argsort(np.concatenate(firsts))] = np.arange(1, len(rank) + 1)
    tables = np.split(rank, np.cumsum(counts)[:-1])
    background = np.zeros(1, np.int32)
    return [
        np.concatenate([background, table])[part]
        for part, table in zip(labels, tables, strict=True)
    ], len(rank)


def _first_voxels(labels: np.ndarray, crop: Crop, shape: tuple[int, ...]) -> np.ndarray:
    """(n,) raster index in the volume of each object's first voxel."""
    highest = np.maximum.accumulate(labels.ravel())
    index = np.flatnonzero(np.diff(highest, prepend=0))
    position = np.stack(np.unravel_index(index, labels.shape)) + crop.origin[:, None]
    return np.ravel_multi_index(tuple(position), shape)
