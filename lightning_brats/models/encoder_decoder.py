"""An encoder and a decoder without skips, given layer by layer.

Plain stacks of convolutions as in SegNet (Badrinarayanan et al. 2017), without its pooling indices
and norms. `UNet(skip="none")` is the one to compare with a U-Net, from which it differs in the
skips alone; this one reproduces networks that somebody wrote down layer by layer.

Shapes: B batch, C channels in, K channels out, X Y Z space (X Y in 2-D).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from lightning_brats.errors import ConfigError
from lightning_brats.models.channels_last import arrange
from lightning_brats.models.layers import Layers, initialise


class EncoderDecoder(nn.Module):
    """Convolutions and pooling down, convolutions and transposed convolutions up again.

    A ReLU follows every layer but the last. Convolutions have kernels of 3, transposed ones of 2
    with a stride of 2.

    Args:
        in_channels: Modalities, C.
        out_channels: Regions or classes, K.
        encoder: Channels of each stage's convolutions; a maximum of 2³ voxels ends each stage.
        decoder: Channels of each stage: of its transposed convolution, then of its convolutions.
            One more transposed convolution leads to the output, so there is one stage less than
            in the encoder.
        spatial_dims: 2 or 3.

    Attributes:
        config: Plain arguments, with `_target_`, that build the same network again.

    Raises:
        ConfigError: Encoder and decoder do not lead back to the input's grid.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        encoder: Sequence[Sequence[int]] = ((32, 64), (128, 128)),
        decoder: Sequence[Sequence[int]] = ((64, 64),),
        spatial_dims: int = 3,
    ) -> None:
        super().__init__()
        if len(decoder) != len(encoder) - 1 or not all([*encoder, *decoder]):
            raise ConfigError(
                f"model.encoder={_plain(encoder)} halves the image {len(encoder)} times, and "
                f"model.decoder={_plain(decoder)} doubles it {len(decoder) + 1} times",
                remedy="give the decoder one stage less than the encoder, and no empty stage",
            )
        self.config: dict[str, Any] = {
            "_target_": "lightning_brats.models.EncoderDecoder",
            "in_channels": in_channels,
            "out_channels": out_channels,
            "encoder": _plain(encoder),
            "decoder": _plain(decoder),
            "spatial_dims": spatial_dims,
        }
        layers = Layers(spatial_dims=spatial_dims, activation="relu")
        parts: list[nn.Module] = []
        channels = in_channels
        for stage in encoder:
            parts += [*_convolutions(layers, [channels, *stage]), layers.make_pool()]
            channels = stage[-1]
        for stage in decoder:
            parts += [layers.make_upsample(channels, stage[0]), layers.make_activation()]
            parts += _convolutions(layers, stage)
            channels = stage[-1]
        self.body = nn.Sequential(*parts)
        self.head = layers.make_upsample(channels, out_channels)
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        """Image (B, C, X, Y, Z) → logits (B, K, X, Y, Z)."""
        logits = self.head(self.body(arrange(x)))
        return logits[(..., *map(slice, x.shape[2:]))]  # pooling rounded odd sizes up


def _convolutions(layers: Layers, widths: Sequence[int]) -> list[nn.Module]:
    """Each from one width to the next, with its ReLU."""
    parts: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        parts += [layers.layer("Conv")(inputs, outputs, 3, padding=1), layers.make_activation()]
    return parts


def _plain(stages: Sequence[Sequence[int]]) -> list[list[int]]:
    return [list(stage) for stage in stages]
