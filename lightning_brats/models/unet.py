"""One U-Net with two switches: what a block is, and how a skip is used.

The plain form is nnU-Net's (Isensee et al. 2021), with `size=base` parameter for parameter. It
differs from the first U-Nets (Ronneberger et al. 2015; Çiçek et al. 2016) in padded convolutions,
which keep the image's size, instance norm, leaky ReLU, strided convolutions instead of pooling and
five halvings instead of four or three; weights start as He et al. (2015) say.
`block=residual` exchanges the blocks alone (He et al. 2016), `skip=attention` the skips alone
(Oktay et al. 2018), so that a comparison of two of these networks compares that part.

Shapes: B batch, C channels in, K channels out, X Y Z space (X Y in 2-D).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_brats.errors import ConfigError
from lightning_brats.models.blocks import BLOCKS, SKIPS, AttentionGate
from lightning_brats.models.channels_last import arrange
from lightning_brats.models.layers import Layers, check, initialise

SIZES: Mapping[str, tuple[int, ...]] = {
    "tiny": (8, 16, 32),
    "small": (16, 32, 64, 128),
    "base": (32, 64, 128, 256, 320, 320),
    "large": (64, 128, 256, 512, 640, 640),
}


class UNet(nn.Module):
    """U-Net for volumes or slices of any size, axes that do not divide by two included.

    Args:
        in_channels: Modalities, C.
        out_channels: Regions or classes, K.
        size: `tiny`, `small`, `base` or `large`: a short name for the widths.
        widths: Channels a stage, finest first; overrides `size`.
        block: `plain` or `residual`.
        skip: `concat`, `attention`, or `none`.
        dropout: Share of channels dropped in each block, one for all stages or one a stage.
        deep_supervision: While training, also predict on each coarser grid of the decoder.
        layers: What all stages share, see `Layers`.

    Attributes:
        config: Plain arguments, with `_target_`, that build the same network again.

    Raises:
        ConfigError: A setting that cannot work.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        size: str = "small",
        widths: Sequence[int] | None = None,
        block: str = "plain",
        skip: str = "concat",
        dropout: float | Sequence[float] = 0.0,
        deep_supervision: bool = False,
        **layers: Any,
    ) -> None:
        super().__init__()
        style = Layers(**layers)
        check("size", size, SIZES)
        check("block", block, BLOCKS)
        check("skip", skip, SKIPS)
        stages = list(widths or SIZES[size])
        rates = [dropout] * len(stages) if isinstance(dropout, int | float) else list(dropout)
        if len(stages) < 2 or len(rates) != len(stages):
            raise ConfigError(
                f"widths {stages} with dropout {rates}",
                remedy="give two or more widths, and one dropout or one a stage",
            )
        self.config: dict[str, Any] = {
            "_target_": "lightning_brats.models.UNet",
            "in_channels": in_channels,
            "out_channels": out_channels,
            "widths": stages,
            "block": block,
            "skip": skip,
            "dropout": rates,
            "deep_supervision": deep_supervision,
            **asdict(style),
        }
        self.deep_supervision = deep_supervision
        self._build_encoder(style, in_channels, stages, rates)
        self._build_decoder(style, out_channels, stages, rates)
        self.apply(initialise)

    def _build_encoder(
        self, style: Layers, channels: int, widths: list[int], rates: list[float]
    ) -> None:
        make_block = BLOCKS[self.config["block"]]
        self.encoder = nn.ModuleList()
        for level, (width, rate) in enumerate(zip(widths, rates, strict=True)):
            pool = level > 0 and style.downsample == "pool"
            stride = 2 if level > 0 and not pool else 1
            block = make_block(style, channels, width, stride=stride, dropout=rate)
            self.encoder.append(nn.Sequential(style.make_pool(), block) if pool else block)
            channels = width

    def _build_decoder(
        self, style: Layers, outputs: int, widths: list[int], rates: list[float]
    ) -> None:
        make_block = BLOCKS[self.config["block"]]
        make_join = SKIPS[self.config["skip"]]
        self.decoder, self.upsamples, self.heads, self.joins = (nn.ModuleList() for _ in range(4))
        for level in reversed(range(len(widths) - 1)):  # coarsest first
            fine, coarse = widths[level], widths[level + 1]
            self.upsamples.append(style.make_upsample(coarse, fine))
            self.joins.append(make_join(style, fine, coarse))
            self.decoder.append(
                make_block(style, make_join.parts * fine, fine, dropout=rates[level])
            )
            if self.deep_supervision or level == 0:
                self.heads.append(style.layer("Conv")(fine, outputs, 1))

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """Logits.

        Args:
            x: Image (B, C, X, Y, Z).

        Returns:
            Logits (B, K, X, Y, Z); with deep supervision, while training, a list of them:
            full size, half, quarter, ... (rounded up).

        Raises:
            ConfigError: The image is so small that the coarsest stage is a single voxel.
        """
        self._check_size(x.shape[2:])
        x = arrange(x)
        skips: list[Tensor] = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        features = [skips.pop()]
        for upsample, join, stage in zip(self.upsamples, self.joins, self.decoder, strict=True):
            coarse, skip = features[-1], skips.pop()
            up = upsample(coarse)[(..., *map(slice, skip.shape[2:]))]  # odd sizes were rounded up
            features.append(stage(join(up, skip, coarse)))
        if self.deep_supervision and self.training:
            pairs = zip(self.heads, features[1:], strict=True)
            return [head(feature) for head, feature in pairs][::-1]
        return self.heads[-1](features[-1])

    def attention_maps(self, x: Tensor) -> list[Tensor]:
        """What the gates let through of each skip, for one image batch.

        Args:
            x: Image (B, C, X, Y, Z).

        Returns:
            One map (B, 1, X, Y, Z) in [0, 1] a gate, coarsest first, interpolated to the image's
            grid. Empty where `skip` is not `attention`.
        """
        maps: list[Tensor] = []
        hooks = [
            join.weigh.register_forward_hook(lambda _module, _inputs, weights: maps.append(weights))
            for join in self.joins
            if isinstance(join, AttentionGate)
        ]
        try:
            with torch.no_grad():
                self(x)
        finally:
            for hook in hooks:
                hook.remove()
        mode = "bilinear" if x.ndim == 4 else "trilinear"
        return [F.interpolate(weights, size=x.shape[2:], mode=mode) for weights in maps]

    def _check_size(self, shape: torch.Size) -> None:
        halvings = len(self.encoder) - 1
        if max(shape) <= 2**halvings:
            raise ConfigError(
                f"an image of {'×'.join(map(str, shape))} is a single voxel after "
                f"{halvings} halvings",
                remedy=f"use a patch wider than {2**halvings} on one axis, or fewer widths",
            )
