"""Brightness and contrast of one channel."""

from __future__ import annotations

import torch
from torch import Tensor


def scale_(channel: Tensor, factor: float) -> Tensor:
    """Multiply in place."""
    return channel.mul_(factor)


def stretch_(channel: Tensor, factor: float) -> Tensor:
    """Stretch about the mean in place, cut at the former range."""
    mean = channel.mean()
    low, high = channel.aminmax()
    channel.mul_(factor).add_(mean * (1 - factor))
    # On CPU, clamping to bounds that are tensors takes twice as long as these two.
    torch.minimum(channel, high, out=channel)
    return torch.maximum(channel, low, out=channel)
