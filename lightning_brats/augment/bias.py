"""The slow gain of a receiver coil, on one channel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_brats.augment.separable import expand, powers


def bias_(channel: Tensor, drawn: tuple[Sequence[float], int]) -> Tensor:
    """Multiply in place by exp of a polynomial of the place (Van Leemput et al., TMI 1999).

    Args:
        channel: (X, Y, Z) float32.
        drawn: Coefficients, as many as `terms(order)`, and the order.
    """
    return channel.mul_(bias_logarithm(channel, *drawn).exp_())


def bias_logarithm(channel: Tensor, coefficients: Sequence[float], order: int) -> Tensor:
    """The polynomial at the voxels of a channel (X, Y, Z), on its device."""
    cube = torch.zeros([order + 1] * 3, device=channel.device)
    for term, coefficient in zip(terms(order), coefficients, strict=True):
        cube[term] = coefficient
    return expand(cube, [powers(n, order, channel.device).float() for n in channel.shape])


def terms(order: int) -> list[tuple[int, int, int]]:
    """Exponents of (x, y, z) of every term up to a total order."""
    return [
        (x, y, z)
        for x in range(order + 1)
        for y in range(order + 1 - x)
        for z in range(order + 1 - x - y)
    ]
