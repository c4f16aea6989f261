"""A slice with its neighbours, and the transforms that work on them in the workers alone.

Shapes: `C` modalities, `S` slices of a slab, `X Y` a slice's plane.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torchio as tio

from lightning_brats.data.transforms import draw_plan, obstacle


class Slab(NamedTuple):
    """Which slices of a box come as channels besides its own."""

    axis: int = 2
    neighbours: int = 0


def transform_slab(
    transforms: Sequence[tio.Transform], subject: tio.Subject, slices: int
) -> tio.Subject:
    """Apply transforms to a slice and to its neighbours, to all of them alike.

    Our own changes of intensity see a modality's slab as one image, as on the training device. Any
    other transform is given slice after slice, drawing the same each time: it moves nothing out of
    the plane, where it would meet the slab's ends.

    Args:
        transforms: In order.
        subject: `image` (C * S, X, Y, 1), `mask` (1, X, Y, 1) of the middle slices.
        slices: S.
    """
    parts = _slices(subject, slices)
    middle = slices // 2
    for transform in transforms:
        if isinstance(transform, tio.IntensityTransform) and obstacle([transform]) is None:
            image = _joined(parts)
            plan, steps = draw_plan([transform], parts[0].image.shape, slices)
            plan.apply_(image, parts[middle].mask.data)
            for number, part in enumerate(parts):
                part.image.set_data(image[number::slices].contiguous())
            for step in steps:
                step._add_transform_to_subject_history(parts[middle])
        else:
            state = torch.get_rng_state()
            for number, part in enumerate(parts):
                torch.set_rng_state(state)
                parts[number] = transform(part)
    subject.image.set_data(_joined(parts))
    subject.mask.set_data(parts[middle].mask.data)
    subject.applied_transforms = list(parts[middle].applied_transforms)
    return subject


def _slices(subject: tio.Subject, slices: int) -> list[tio.Subject]:
    """Each slice (C, X, Y, 1) with the mask, on its own."""
    image, mask = subject.image.data, subject.mask.data
    return [
        tio.Subject(
            image=tio.ScalarImage(tensor=image[number::slices].contiguous()),
            mask=tio.LabelMap(tensor=mask.clone()),
        )
        for number in range(slices)
    ]


def _joined(parts: Sequence[tio.Subject]) -> torch.Tensor:
    """(C * S, X, Y, 1)."""
    return torch.stack([part.image.data for part in parts], 1).flatten(0, 1)
