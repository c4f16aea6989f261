"""Gaussian noise of one channel."""

from __future__ import annotations

import torch
from torch import Tensor


def noise_(channel: Tensor, drawn: tuple[float, float, int]) -> Tensor:
    """Add Gaussian noise in place.

    Args:
        channel: Any shape, float32.
        drawn: Mean, standard deviation and seed. The seed makes the same noise on every device of
            a kind; CPU and CUDA make different noise of it.
    """
    mean, std, seed = drawn
    generator = torch.Generator(channel.device).manual_seed(seed)
    return channel.add_(torch.empty_like(channel).normal_(mean, std, generator=generator))
