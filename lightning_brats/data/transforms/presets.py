"""Chains of transforms, as the `augmentation` configs describe them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torchio as tio

from lightning_brats.data.transforms.background import ClearBackground, MarkBrain
from lightning_brats.data.transforms.planning import Chain, Place, works_on_device
from lightning_brats.data.transforms.random_warp import RandomWarp
from lightning_brats.errors import ConfigError


def none() -> None:
    """No augmentation."""
    return None


def chain(
    transforms: Sequence[tio.Transform | None] | Mapping[str, tio.Transform | None],
    keep_background: bool = False,
    device: Place = "auto",
) -> Chain | None:
    """Transforms one after the other, working on the patch itself instead of copies.

    Args:
        transforms: In order, or by name in order; `None` entries are left out. A `RandomWarp` must
            come first: the patch is then cut from just the voxels that it needs.
        keep_background: Set what was zero in all channels after the warp to zero again at the end,
            so that training shows the same background as prediction.
        device: `True`: all but the warp works on the training device; `False`: all in the workers;
            `auto`: on the training device if that is CUDA and no transform hinders it.

    Raises:
        ConfigError: Something is no transform, all of several are left out, a warp comes later, or
            `device` is true and a transform can work in the workers alone.
    """
    entries = transforms.values() if isinstance(transforms, Mapping) else transforms
    steps = [step for step in entries if step is not None]
    for place, step in enumerate(steps):
        if not isinstance(step, tio.Transform):
            raise ConfigError(
                f"augmentation.transforms has {step!r}, which is no TorchIO transform",
                remedy="each entry is a mapping with _target_, for example "
                "{_target_: torchio.RandomGamma}",
            )
        if place and isinstance(step, RandomWarp):
            raise ConfigError(
                "augmentation.transforms has a RandomWarp after other transforms, where it could "
                "not read beyond the patch",
                remedy="put it first",
            )
        _work_in_place(step)
    if entries and not steps:
        raise ConfigError(
            "augmentation.transforms leaves out every step of its preset",
            remedy="augmentation=none trains without augmentation",
        )
    if not steps:
        return None
    if keep_background:
        start = int(isinstance(steps[0], RandomWarp))
        steps = [*steps[:start], MarkBrain(copy=False), *steps[start:], ClearBackground(copy=False)]
    chained = Chain(steps, device)
    if device not in (True, False, "auto"):
        raise ConfigError(f"augmentation.device={device} is none of true, false and auto")
    if device is True:
        works_on_device(chained, cuda=True, margin=0)
    return chained


def padding(transform: tio.Transform | None) -> list[str]:
    """Names of TorchIO's transforms in it that bring voxels from outside the patch into it."""
    if transform is None:
        return []
    shifting = (
        tio.RandomAffine,
        tio.RandomElasticDeformation,
        tio.RandomAffineElasticDeformation,
    )
    own = [transform.name] if isinstance(transform, shifting) else []
    return own + [name for inner in _within(transform) for name in padding(inner)]


def _work_in_place(transform: Any) -> None:
    """Let a transform and those in it change a patch that nobody else holds."""
    transform.copy = False
    for inner in _within(transform):
        _work_in_place(inner)


def _within(transform: Any) -> list[Any]:
    """The transforms of a `Compose` or `OneOf`."""
    return [*getattr(transform, "transforms", ()), *getattr(transform, "transforms_dict", ())]
