"""One transform on one whole case, by the code that cuts training patches.

The case is the patch, so that everything is seen. It is augmented as a worker does it, and, where
that can be, as it is done on the training device from a plan that the worker drew.

Shapes: `C` modalities, `x y z` a prepared, cropped volume.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torchio as tio

from lightning_brats.augment import augment_
from lightning_brats.data.entry import CachedCase
from lightning_brats.data.patches import PLAN, PatchDataset
from lightning_brats.data.sampling import PatchRequest
from lightning_brats.data.transforms import leading_warp, obstacle

LEVELS = 250
"""Places along an axis that a label map can hold."""
WARPS = "Warp"


@dataclass(frozen=True)
class Applied:
    """A case after a transform.

    Args:
        image: (C, x, y, z) float32.
        mask: (x, y, z) uint8 internal labels.
        steps: What was done, in order: name of TorchIO's transform, and its arguments.
        on_device: Largest difference of the image that the training device makes; `None` where
            the transform works in the workers alone.
    """

    image: np.ndarray
    mask: np.ndarray
    steps: tuple[tuple[str, Mapping[str, Any]], ...]
    on_device: float | None

    @property
    def warped(self) -> bool:
        """Whether space was turned, scaled or bent."""
        return any(name == WARPS for name, _ in self.steps)


@dataclass(frozen=True, slots=True)
class Ruled(CachedCase):
    """A case whose mask tells places apart instead of tissues: labels move as any mask does.

    Args:
        axis: Along which voxels are counted.
    """

    axis: int = 0

    @property
    def mask(self) -> np.ndarray:
        """(x, y, z) uint8: the place along the axis, from 1 to `LEVELS`."""
        shape = self.shape
        place = 1 + np.arange(shape[self.axis]) * min(1, LEVELS / shape[self.axis])
        line = [-1 if axis == self.axis else 1 for axis in range(3)]
        return np.broadcast_to(place.astype(np.uint8).reshape(line), shape).copy()


def apply(
    entry: CachedCase, transform: tio.Transform, seed: int, device: torch.device | None = None
) -> Applied:
    """Augment a case as a worker does, and on a device.

    Args:
        entry: The case.
        transform: As for training patches.
        seed: Of everything that is drawn.
        device: To compare with; `None` leaves that out.
    """
    subject = _augmented(entry, transform, seed)
    image = subject.image.data.float()
    difference = None
    if device is not None and obstacle(leading_warp(transform)[1]) is None:
        planned = _augmented(entry, transform, seed, on_device=True)
        own, mask = planned.image.data.to(device), planned.mask.data.to(device)
        plan: Any = planned[PLAN]
        augment_(own[None], mask[None], [plan])
        difference = float((own.float().cpu() - image).abs().max())
    steps = tuple((str(name), dict(given)) for name, given in subject.applied_transforms)
    return Applied(image.numpy(), subject.mask.data[0].numpy(), steps, difference)


def places(entry: CachedCase, transform: tio.Transform, seed: int, axis: int) -> np.ndarray:
    """(x, y, z) float: which place along an axis each voxel was taken from; NaN: from outside.

    Args:
        entry: The case.
        transform: As for `apply`, like the seed.
        seed: Of everything that is drawn.
        axis: Of the case.
    """
    moved = _augmented(Ruled(entry.folder, axis), transform, seed).mask.data[0].numpy()
    scale = min(1, LEVELS / entry.shape[axis])
    return np.where(moved > 0, (moved.astype(np.float32) - 1) / scale, np.nan)


def _augmented(
    entry: CachedCase, transform: tio.Transform, seed: int, on_device: bool = False
) -> tio.Subject:
    """The whole case as one patch."""
    dataset = PatchDataset([entry], entry.shape, transform, on_device=on_device)
    return dataset[PatchRequest(subject=0, forced=False, seed=seed)]
