"""Drawing everything that a chain will do to a patch, before anything is done to it.

What is drawn can then be applied anywhere: by the worker, or on the training device.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
import torchio as tio

from lightning_brats.augment import Plan
from lightning_brats.data.transforms.background import ClearBackground, MarkBrain
from lightning_brats.data.transforms.channels import ByChannel, Drawing
from lightning_brats.data.transforms.mirror import Mirror
from lightning_brats.data.transforms.random_warp import RandomWarp, leading_warp
from lightning_brats.errors import ConfigError

Place = bool | Literal["auto"]


class Chain(tio.Compose):
    """A `torchio.Compose` that knows where it is to work.

    Args:
        transforms: In order.
        device: `True`: all but a leading `RandomWarp` on the training device; `False`: in the
            workers; `auto`: on the training device if that is CUDA and all transforms can.
    """

    def __init__(self, transforms: Sequence[tio.Transform], device: Place = "auto") -> None:
        super().__init__(transforms, copy=False)
        self.device = device


def works_on_device(transform: Any, cuda: bool, margin: int) -> bool:
    """Whether a chain is to work on the training device.

    Args:
        transform: Any TorchIO transform or `None`; one that is no `Chain` works in the workers.
        cuda: Whether the training device is CUDA.
        margin: Voxels that workers read around a patch.

    Raises:
        ConfigError: It is asked to, and cannot.
    """
    wish = transform.device if isinstance(transform, Chain) else False
    if wish is False or (wish == "auto" and not cuda):
        return False
    reason = obstacle(leading_warp(transform)[1])
    if reason is None and margin:
        reason = f"queue.margin={margin} is for transforms in the workers"
    if reason is None:
        return True
    if wish == "auto":
        warnings.warn(f"augmentation stays in the workers: {reason}", stacklevel=2)
        return False
    raise ConfigError(
        f"augmentation.device=true, but {reason}",
        remedy="augmentation.device=auto or false augments in the workers; augmentation=standard "
        "and queue.margin=0 need none of them",
    )


def obstacle(transforms: Sequence[Any]) -> str | None:
    """Why these transforms cannot be drawn beforehand, or `None` where they can."""
    inner = _without_background(transforms)[0]
    others = [t for t in inner if not isinstance(t, ByChannel | Mirror | Drawing)]
    others += [t for t in inner if isinstance(t, RandomWarp)]
    if others:
        names = ", ".join(dict.fromkeys(type(t).__name__ for t in others))
        return f"{names} can work in the workers alone"
    limited = [t for t in inner if t.include is not None or t.exclude is not None or t.keep]
    if limited:
        names = ", ".join(dict.fromkeys(type(t).__name__ for t in limited))
        return f"include, exclude and keep of {names} are for the workers"
    return None


def draw_plan(
    transforms: Sequence[tio.Transform], shape: Sequence[int], slices: int = 1
) -> tuple[Plan, list[tio.Transform]]:
    """Draw what is done to a patch, from torch's global generator.

    Args:
        transforms: Such that `obstacle` finds nothing.
        shape: (C, X, Y, Z) of the patch; a slice's thin axis is the last.
        slices: Of the slab of each modality, where slices come with their neighbours.

    Returns:
        The plan, and the TorchIO transforms that do the same, for the patch's history.
    """
    inner, keep_background = _without_background(transforms)
    fixed = [_drawn(transform, {"image": shape}) for transform in inner]
    chosen = [transform for transform in fixed if transform is not None]
    plan = Plan([step.step("image", shape[0]) for step in chosen], keep_background, slices)
    if keep_background:
        chosen = [transforms[0], *chosen, transforms[-1]]
    return plan, chosen


def _drawn(transform: Any, images: Mapping[str, Sequence[int]]) -> Any:
    """What a transform does to these images, `None` where it does nothing."""
    if torch.rand(1).item() > transform.probability:
        return None
    return transform.drawn(images) if isinstance(transform, Drawing) else transform


def _without_background(transforms: Sequence[Any]) -> tuple[list[Any], bool]:
    """The transforms between `MarkBrain` and `ClearBackground`, and whether they are there."""
    inner = list(transforms)
    ends = len(inner) > 1 and isinstance(inner[0], MarkBrain)
    if ends and isinstance(inner[-1], ClearBackground):
        return inner[1:-1], True
    return inner, False
