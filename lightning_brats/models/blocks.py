"""Convolution blocks, and ways to join a skip: the two parts in which our U-Nets differ.

Shapes: B batch, C channels, X Y Z space (X Y in 2-D).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_brats.models.layers import Layers


def plain_block(
    layers: Layers, inputs: int, outputs: int, stride: int = 1, dropout: float = 0.0
) -> nn.Sequential:
    """Convolution, norm and activation, `layers.convs` times over.

    Dropout of whole channels follows the first convolution, as in Wide ResNets
    (Zagoruyko & Komodakis 2016), so that no head sees dropped features.
    """
    parts: list[nn.Module] = []
    kernel = layers.kernel_size
    for index in range(layers.convs):
        first = index == 0
        parts += [
            layers.layer("Conv")(
                inputs if first else outputs,
                outputs,
                kernel,
                stride=stride if first else 1,
                padding=kernel // 2,
            ),
            layers.make_norm(outputs),
        ]
        if first and dropout:
            parts.append(layers.layer("Dropout")(dropout))
        parts.append(layers.make_activation())
    return nn.Sequential(*parts)


class ResidualBlock(nn.Module):
    """A plain block with its input added before the last activation (He et al. 2016).

    Where shapes differ, the shortcut is a strided 1×1 convolution with a norm (their option B).
    """

    def __init__(
        self, layers: Layers, inputs: int, outputs: int, stride: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__()
        *body, self.activation = plain_block(layers, inputs, outputs, stride, dropout)
        self.body = nn.Sequential(*body)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                layers.layer("Conv")(inputs, outputs, 1, stride=stride), layers.make_norm(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:  # (B, C, X, Y, Z) → (B, C', X/s, Y/s, Z/s)
        """Residual mapping plus shortcut."""
        return self.activation(self.body(x) + self.shortcut(x))


class Concatenate(nn.Module):
    """Joins a stage's up-sampled features and its skip (Ronneberger et al. 2015)."""

    parts = 2

    def __init__(self, layers: Layers, channels: int, coarse_channels: int) -> None:
        super().__init__()

    def forward(self, up: Tensor, skip: Tensor, coarse: Tensor) -> Tensor:
        """`up` and `skip` (B, C, X, Y, Z), `coarse` (B, C', X/2, Y/2, Z/2) → (B, 2 C, X, Y, Z)."""
        return torch.cat((up, skip), 1)


class AttentionGate(Concatenate):
    """Concatenates after weighting each voxel of the skip (additive gate, Oktay et al. 2018).

    The weights are computed on the coarse grid of the gating signal, where a voxel costs an eighth,
    and their one channel is interpolated to the skip's grid. Unlike theirs, the strided convolution
    that brings the skip to the coarse grid has one weight for all voxels of a block: it is a 1×1
    convolution of their average, which serves any size.
    """

    def __init__(self, layers: Layers, channels: int, coarse_channels: int) -> None:
        super().__init__(layers, channels, coarse_channels)
        conv, inner = layers.layer("Conv"), max(channels // 2, 1)
        self.convolve: Callable[..., Tensor] = F.conv2d if layers.spatial_dims == 2 else F.conv3d
        self.from_skip: Any = conv(channels, inner, 1, bias=False)
        self.from_coarse = conv(coarse_channels, inner, 1)
        self.weigh = nn.Sequential(nn.ReLU(inplace=True), conv(inner, 1, 1), nn.Sigmoid())
        self.mode = "bilinear" if layers.spatial_dims == 2 else "trilinear"

    def forward(self, up: Tensor, skip: Tensor, coarse: Tensor) -> Tensor:
        """Like `Concatenate`, with the skip weighted."""
        weights = self.weigh(self._project(skip) + self.from_coarse(coarse))
        fine = F.interpolate(weights, size=skip.shape[2:], mode=self.mode)  # (B, 1, X, Y, Z)
        return torch.cat((up, skip * fine), 1)

    def _project(self, skip: Tensor) -> Tensor:  # (B, C, X, Y, Z) → (B, C / 2, X / 2, Y / 2, Z / 2)
        """Average each block of voxels, and convolve: in one, as autocast would average in fp32."""
        edges = [min(2, size) for size in skip.shape[2:]]  # an axis of one voxel stays
        odd = [size % edge for size, edge in zip(skip.shape[2:], edges, strict=True)]
        if any(odd):  # the last voxel makes a pair with itself
            pads = [pad for end in reversed(odd) for pad in (0, end)]
            skip = F.pad(skip, pads, mode="replicate")
        kernel = self.from_skip.weight.expand(-1, -1, *edges) / math.prod(edges)
        return self.convolve(skip, kernel, stride=edges)


class Ignore(Concatenate):
    """Leaves the skip out: an encoder–decoder without skips, the baseline that skips improve on."""

    parts = 1

    def forward(self, up: Tensor, skip: Tensor, coarse: Tensor) -> Tensor:
        """`up` alone."""
        return up


BLOCKS: Mapping[str, Callable[..., nn.Module]] = {"plain": plain_block, "residual": ResidualBlock}
SKIPS: Mapping[str, type[Concatenate]] = {
    "concat": Concatenate,
    "attention": AttentionGate,
    "none": Ignore,
}
