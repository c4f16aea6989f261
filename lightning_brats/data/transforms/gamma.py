"""Gamma: nnU-Net's, which works within a channel's range, and TorchIO's, on the values as such."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lightning_brats import augment
from lightning_brats.data.transforms.channels import ByChannel, RandomByChannel, Values


class GammaCorrection(ByChannel):
    """Raise each channel, mapped to 0 … 1, to a power; then restore its mean and deviation.

    Args:
        gamma: Exponent for each channel.
        invert: Correct the negative image, which spreads the bright values instead of the dark.
        **kwargs: Of `torchio.Transform`.
    """

    def __init__(self, gamma: Values, invert: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.gamma, self.invert = gamma, invert
        self.args_names = ["gamma", "invert"]

    change = staticmethod(augment.gamma_)

    def values(self, image: str, channels: int) -> Sequence[Any]:
        """Exponent and whether to invert, for each channel."""
        gammas = super().values(image, channels)
        return [None if gamma is None else (gamma, self.invert) for gamma in gammas]


class RandomGammaCorrection(RandomByChannel):
    """nnU-Net's gamma: within each channel's range, mean and deviation kept.

    Args:
        gamma: Range of the exponent; below and above 1 are equally likely.
        invert: Correct the negative image.
        p_per_channel: Probability for each channel.
        **kwargs: Of `torchio.Transform`.
    """

    applies = GammaCorrection

    def __init__(
        self,
        gamma: Sequence[float] = (0.7, 1.5),
        invert: bool = False,
        p_per_channel: float = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(p_per_channel, **kwargs)
        self.gamma_range = self.parse_range(gamma, "gamma", 0)
        self.invert = invert

    def get_params(self) -> float:
        """Exponent, below or above 1 with equal chance."""
        return self.sample_factor(*self.gamma_range)

    def fixed(self) -> dict[str, Any]:
        """Whether to invert."""
        return {"invert": self.invert}


class PowerLaw(ByChannel):
    """sign(v) |v|^γ.

    Args:
        gamma: Exponent for each channel.
        **kwargs: Of `torchio.Transform`.
    """

    def __init__(self, gamma: Values, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.gamma = gamma
        self.args_names = ["gamma"]

    change = staticmethod(augment.power_law_)


class RandomPowerLaw(RandomByChannel):
    """sign(v) |v|^γ, drawn for each channel: a fast `torchio.RandomGamma`.

    Args:
        log_gamma: Range of log γ; one number d means (-d, d).
        p_per_channel: Probability for each channel.
        **kwargs: Of `torchio.Transform`.
    """

    applies = PowerLaw

    def __init__(
        self,
        log_gamma: float | Sequence[float] = (-0.3, 0.3),
        p_per_channel: float = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(p_per_channel, **kwargs)
        self.log_gamma_range = self.parse_range(log_gamma, "log_gamma")

    def get_params(self) -> float:
        """Exponent."""
        return math.exp(self.sample_uniform(*self.log_gamma_range))
