"""What is explained: the log-odds of a region, averaged over its voxels in one window.

One window, because gradients of a whole volume do not fit into memory; a network sees no more than
a window at a time anyway.

Shapes: B batch, C channels in, K outputs, x y z the volume, px py pz the window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_brats.labels import REGIONS
from lightning_brats.slices import neighbours_as_channels, slice_axis
from lightning_brats.task import SegmentationTask

Slices = tuple[slice, ...]


@dataclass(frozen=True)
class Focus:
    """A window and the voxels in it whose log-odds are explained.

    Args:
        image: (1, C, px, py, pz) float32, zero beyond the volume; on the network's device.
        inside: (px, py, pz) bool.
        box: The part of the volume that the window covers.
        part: The part of the window that the volume covers.
        shape: (x, y, z) of the volume.
    """

    image: Tensor
    inside: Tensor
    box: Slices
    part: Slices
    shape: tuple[int, ...]

    def placed(self, values: Tensor) -> np.ndarray:
        """(..., px, py, pz) of the window as (..., x, y, z) of the volume, 0 around it."""
        found = values.detach().float().cpu().numpy()
        out = np.zeros((*found.shape[:-3], *self.shape), np.float32)
        to: tuple[Any, ...] = (..., *self.box)
        taken: tuple[Any, ...] = (..., *self.part)
        out[to] = found[taken]
        return out


def make_focus(task: SegmentationTask, image: Tensor, inside: np.ndarray) -> Focus:
    """The window that holds most of a region.

    Args:
        task: Its window's size is used.
        image: (C, x, y, z), modalities.
        inside: (x, y, z) bool, the region; not empty.
    """
    window = task.inference
    size, shape = tuple(window.patch_size), tuple(inside.shape)
    axis = slice_axis(size)
    if window.neighbours and axis is not None:
        sides = [0, 0] * (2 - axis) + [window.neighbours] * 2  # last axis first
        image = neighbours_as_channels(F.pad(image, sides), axis, window.neighbours)
    first = [_first(*one) for one in zip(best_centre(inside, size), size, shape, strict=True)]
    box = tuple(slice(max(a, 0), min(a + p, n)) for a, p, n in zip(first, size, shape, strict=True))
    part = tuple(slice(b.start - a, b.stop - a) for a, b in zip(first, box, strict=True))
    patch = torch.zeros(1, len(image), *size)
    patch[:, :, *part] = image[:, *box].float().cpu()
    chosen = torch.zeros(size, dtype=torch.bool)
    chosen[part] = torch.from_numpy(inside[box])
    return Focus(patch.to(task.device), chosen.to(task.device), box, part, shape)


def best_centre(inside: np.ndarray, size: Sequence[int]) -> tuple[int, ...]:
    """Centre of the window that holds most of the region (x, y, z).

    Of several, the one nearest to the region's centre of mass is taken.
    """
    held = ndimage.uniform_filter(inside.astype(np.float64), size, mode="constant")
    places = np.argwhere(held > held.max() - 0.5 / np.prod(size))
    middle = np.argwhere(inside).mean(0)
    x, y, z = places[((places - middle) ** 2).sum(1).argmin()]
    return int(x), int(y), int(z)


def _first(centre: int, patch: int, size: int) -> int:
    """First voxel of the window along an axis; negative where the volume is smaller."""
    if size < patch:
        return (size - patch) // 2
    return min(max(centre - patch // 2, 0), size - patch)


class RegionLogOdds(nn.Module):
    """(B, C, px, py, pz) → (B,): log-odds of a region, mean over the focus' voxels.

    Sums over the voxels of a segmentation make gradients of it (Vinogradova et al., AAAI 2020).

    Args:
        task: The network, in evaluation mode.
        region: One of its regions.
        inside: (px, py, pz) bool.
    """

    def __init__(self, task: SegmentationTask, region: str, inside: Tensor) -> None:
        super().__init__()
        self.task, self.region = task, region
        self.weights = inside.float() / inside.sum()

    def forward(self, image: Tensor) -> Tensor:
        """One number a patch."""
        logits = self.task(image)
        assert isinstance(logits, Tensor)
        odds = log_odds(logits, self.task, self.region)
        return (odds * self.weights).flatten(1).sum(1)


def log_odds(logits: Tensor, task: SegmentationTask, region: str) -> Tensor:
    """Logits (B, K, ...) → log-odds (B, ...) of a region, for either head."""
    if task.head == "regions":
        return logits[:, task.regions.index(region)]
    chosen = [label for label in REGIONS[region] if label < logits.shape[1]]
    others = [label for label in range(logits.shape[1]) if label not in chosen]
    return logits[:, chosen].logsumexp(1) - logits[:, others].logsumexp(1)
