"""Mirroring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torchio as tio

from lightning_brats import augment
from lightning_brats.data.transforms.channels import Drawing


class Mirror(tio.SpatialTransform):
    """Reverse images along axes.

    Args:
        axes: Of (0, 1, 2).
        **kwargs: Of `torchio.Transform`.
    """

    def __init__(self, axes: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axes = tuple(axes)
        self.args_names = ["axes"]

    def is_invertible(self) -> bool:
        """It is its own inverse."""
        return True

    def inverse(self) -> Mirror:
        """Itself."""
        return self

    def step(self, image: str, channels: int) -> augment.Flip:
        """What it does to an image and its labels."""
        return augment.Flip(self.axes)

    def apply_transform(self, subject: tio.Subject) -> tio.Subject:
        """Reverse every image."""
        for image in self.get_images(subject):
            image.set_data(image.data.flip([1 + axis for axis in self.axes]))
        return subject


class RandomMirror(Drawing, tio.SpatialTransform):
    """Reverse images along each axis by chance; a `torchio.RandomFlip` that slices may use too.

    TorchIO's cannot reverse an axis of length 1.

    Args:
        axes: Of (0, 1, 2).
        flip_probability: For each axis.
        **kwargs: Of `torchio.Transform`.
    """

    def __init__(
        self, axes: Sequence[int] = (0, 1, 2), flip_probability: float = 0.5, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.axes = tio.RandomAnisotropy.parse_axes(tuple(axes))
        self.flip_probability = self.parse_probability(flip_probability)

    def get_params(self) -> list[int]:
        """Axes to reverse."""
        return [axis for axis in self.axes if torch.rand(1).item() < self.flip_probability]

    def drawn(self, images: Mapping[str, Sequence[int]]) -> Mirror | None:
        """The axes, the same for all images."""
        axes = self.get_params()
        return Mirror(axes, **self.passed_on()) if axes else None
