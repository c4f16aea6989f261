"""Gamma of one channel: nnU-Net's, within the channel's range, and TorchIO's, on the values."""

from __future__ import annotations

import torch
from torch import Tensor

SMALLEST = 1e-30
"""Stands for 0 where logarithms are taken; its powers are 0 in half precision."""
LEAST_SPREAD = 1e-7
"""Smallest range and deviation that are divided by: what is flatter stays flat."""


def gamma_(channel: Tensor, drawn: tuple[float, bool]) -> Tensor:
    """Raise the channel, mapped to 0 … 1, to a power; then restore its mean and deviation.

    A constant channel stays as it is.

    Args:
        channel: Any shape, float32; changed in place.
        drawn: Exponent, and whether to correct the negative image, which spreads the bright values
            instead of the dark.
    """
    gamma, invert = drawn
    low, high = channel.aminmax()
    mean, std = channel.mean(), channel.std()
    sign, start = (-1, high) if invert else (1, low)
    channel.sub_(start).mul_(sign / (high - low).clamp_(min=LEAST_SPREAD))
    power_(channel, gamma)
    # Going back to the range and then to mean and deviation is one linear step.
    factor = sign * std / channel.std().clamp_(min=LEAST_SPREAD)
    shift = mean - channel.mean() * factor
    return channel.mul_(factor).add_(shift)


def power_law_(channel: Tensor, gamma: float) -> Tensor:
    """sign(v) |v|^γ in place."""
    size = power_(channel.abs(), gamma)
    return torch.copysign(size, channel, out=channel)


def power_(values: Tensor, exponent: float) -> Tensor:
    """Raise values ≥ 0 to a positive power in place, about twice as fast as `Tensor.pow_`."""
    # The logarithm of 0 would be right too, but takes many times as long.
    return values.clamp_(min=SMALLEST).log_().mul_(exponent).exp_()
