"""Where the windows of a volume lie, and how much each of their voxels counts.

Shapes: `C` modalities, `X Y Z` space.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

Slices = tuple[slice, ...]

SMALLEST_WEIGHT = 1e-3
"""Weight of a window's corners, its centre having 1; MONAI's value, and far from underflow."""


def windows(shape: Sequence[int], patch: Sequence[int], overlap: float) -> Iterator[Slices]:
    """Windows that cover a volume of this shape, first axis slowest."""
    axes = zip(shape, patch, strict=True)
    for corner in itertools.product(*(window_starts(*axis, overlap) for axis in axes)):
        yield tuple(slice(a, a + p) for a, p in zip(corner, patch, strict=True))


def window_starts(size: int, patch: int, overlap: float) -> list[int]:
    """First voxels of the windows along one axis, spread evenly from end to end."""
    last = max(size - patch, 0)
    # Rounded, so that an overlap of .9 (1 - .9 is just below .1) does not cost one more window.
    steps = math.ceil(round(last / max(1.0, patch * (1 - overlap)), 6))
    return [round(last * i / steps) for i in range(steps + 1)] if steps else [0]


def gaussian_weights(patch: Sequence[int]) -> Tensor:
    """Weight of a window's voxels: about 1 at its centre, σ an eighth of the side; float32."""
    weights = torch.ones(())
    for size in patch:
        offset = torch.arange(size) - (size - 1) / 2
        weights = weights[..., None] * torch.exp(-0.5 * (offset / (size / 8)) ** 2)
    return weights.clamp_(min=SMALLEST_WEIGHT)


def brain_box(brain: Tensor, patch: Sequence[int]) -> Slices:
    """The brain's bounding box, widened to the patch where the volume has the room."""
    box = []
    for axis, size in enumerate(patch):
        found = brain.movedim(axis, 0).flatten(1).any(1).nonzero()
        first, extent = int(found[0]), int(found[-1] - found[0]) + 1
        length = min(max(extent, size), brain.shape[axis])
        start = min(max(first - (length - extent) // 2, 0), brain.shape[axis] - length)
        box.append(slice(start, start + length))
    return tuple(box)


def pad_to(image: Tensor, brain: Tensor, patch: Sequence[int]) -> tuple[Tensor, Tensor, Slices]:
    """Zeros around a volume smaller than the patch, and where the volume lies in the result."""
    shape = brain.shape
    missing = [max(p - size, 0) for p, size in zip(patch, shape, strict=True)]
    sides = [side for m in reversed(missing) for side in (m // 2, m - m // 2)]
    inner = tuple(slice(m // 2, m // 2 + size) for m, size in zip(missing, shape, strict=True))
    if not any(missing):
        return image, brain, inner
    return F.pad(image, sides), F.pad(brain, sides), inner


def mirrors(patch: Sequence[int]) -> list[tuple[int, ...]]:
    """Every set of axes of (C, X, Y, Z) to flip, the empty one first."""
    axes = [axis + 1 for axis, size in enumerate(patch) if size > 1]
    return [some for n in range(len(axes) + 1) for some in itertools.combinations(axes, n)]
