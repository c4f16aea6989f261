"""Brightness and contrast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightning_brats import augment
from lightning_brats.data.transforms.channels import ByChannel, RandomByChannel, Values


class _RandomFactor(RandomByChannel):
    def __init__(
        self, factor: Sequence[float] = (0.75, 1.25), p_per_channel: float = 1, **kwargs: Any
    ) -> None:
        super().__init__(p_per_channel, **kwargs)
        self.factor_range = self.parse_range(factor, "factor", 0)

    def get_params(self) -> float:
        """Below or above 1 with equal chance."""
        return self.sample_factor(*self.factor_range)


class _Factor(ByChannel):
    def __init__(self, factor: Values, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor
        self.args_names = ["factor"]


class Brightness(_Factor):
    """Multiply each channel.

    Args:
        factor: For each channel.
        **kwargs: Of `torchio.Transform`.
    """

    change = staticmethod(augment.scale_)


class Contrast(_Factor):
    """Stretch each channel about its mean, cut at its former range.

    Args:
        factor: For each channel.
        **kwargs: Of `torchio.Transform`.
    """

    change = staticmethod(augment.stretch_)


class RandomBrightness(_RandomFactor):
    """Multiply each channel by a factor of its own.

    Args:
        factor: Range; below and above 1 are equally likely, as in nnU-Net.
        p_per_channel: Probability for each channel.
        **kwargs: Of `torchio.Transform`.
    """

    applies = Brightness


class RandomContrast(_RandomFactor):
    """Stretch each channel about its mean by a factor of its own, within its range.

    Args:
        factor: Range; below and above 1 are equally likely, as in nnU-Net.
        p_per_channel: Probability for each channel.
        **kwargs: Of `torchio.Transform`.
    """

    applies = Contrast
