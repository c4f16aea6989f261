"""Where a patch lies: pure functions of the request and the foreground's coordinates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, floor

import numpy as np

from lightning_brats.data.sampling import PatchRequest, SliceRange
from lightning_brats.errors import ConfigError
from lightning_brats.slices import slice_axis


def slice_limits(size: int, slices: SliceRange | None) -> tuple[int, int]:
    """First slice, and the one after the last, of a volume with `size` slices.

    Raises:
        ConfigError: None of the volume's slices is in the range.
    """
    low, high = slices or (0, 1)
    if high <= 1:
        return floor(low * size), ceil(high * size)
    if low >= size:
        raise ConfigError(
            f"queue.slices={list(slices or ())} begins beyond the volume's {size} slices",
            remedy="give shares of the volume instead, for example queue.slices=[0.1,0.9]",
        )
    return int(low), min(int(high), size)


def tumour_slices(
    foreground: Mapping[int, np.ndarray], axis: int, limits: tuple[int, int]
) -> np.ndarray:
    """Sorted slices between the limits that hold a voxel of any label."""
    first, stop = limits
    held = np.zeros(stop, bool)
    for coordinates in foreground.values():
        found = np.asarray(coordinates[:, axis])
        held[found[found < stop]] = True
    held[:first] = False
    return np.flatnonzero(held)


def patch_corner(
    shape: tuple[int, ...],
    patch_size: tuple[int, ...],
    foreground: Mapping[int, np.ndarray],
    request: PatchRequest,
    generator: np.random.Generator,
) -> tuple[int, ...]:
    """First voxel of a patch; negative where the volume is smaller than the patch.

    A forced patch is centred on a voxel of a label drawn uniformly from those present, so that
    small structures count as much as large ones (as in nnU-Net), then moved inside the volume.
    Other patches lie anywhere; a slice that must hold tumour is drawn uniformly from those that do.

    Args:
        shape: (x, y, z) of the volume.
        patch_size: (px, py, pz).
        foreground: Label → (N, 3) coordinates.
        request: Whether to centre on foreground or to hold tumour, ignored where there is none;
            and, for slices, in which range to stay.
        generator: Source of chance.
    """
    low = [min(0, size - patch) for size, patch in zip(shape, patch_size, strict=True)]
    high = [max(0, size - patch) for size, patch in zip(shape, patch_size, strict=True)]
    axis = slice_axis(patch_size)
    if axis is not None:
        low[axis], stop = slice_limits(shape[axis], request.slices)
        high[axis] = stop - 1
    if request.forced:
        limited = axis if request.slices else None
        voxel = _foreground_voxel(foreground, limited, low, high, generator)
        if voxel is not None:
            corner = [int(v) - patch // 2 for v, patch in zip(voxel, patch_size, strict=True)]
            return tuple(min(max(c, a), b) for c, a, b in zip(corner, low, high, strict=True))
    corner = [int(generator.integers(a, b + 1)) for a, b in zip(low, high, strict=True)]
    if request.tumour and axis is not None:
        held = tumour_slices(foreground, axis, (low[axis], high[axis] + 1))
        if len(held):
            corner[axis] = int(held[generator.integers(len(held))])
    return tuple(corner)


def _foreground_voxel(
    foreground: Mapping[int, np.ndarray],
    axis: int | None,
    low: Sequence[int],
    high: Sequence[int],
    generator: np.random.Generator,
) -> np.ndarray | None:
    """A voxel of a random label; along the slices' axis, one that lies in their range."""
    choices = [foreground[label] for label in sorted(foreground)]
    if axis is not None:
        along = ((c, np.asarray(c[:, axis])) for c in choices)
        choices = [c[np.flatnonzero((a >= low[axis]) & (a <= high[axis]))] for c, a in along]
    choices = [coordinates for coordinates in choices if len(coordinates)]
    if not choices:
        return None
    coordinates = choices[generator.integers(len(choices))]
    return coordinates[generator.integers(len(coordinates))]
