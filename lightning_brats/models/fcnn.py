"""A tiny fully convolutional network: the least that can be trained, as a floor for comparisons.

It has the idea of Long et al. (2015), predicting all voxels by down-sampling and up-sampling, in
one layer each, without their skips.

Shapes: B batch, C channels in, K channels out, X Y Z space (X Y in 2-D).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from lightning_brats.models.layers import Layers, initialise


class FCNN(nn.Module):
    """3³ convolution, ReLU, maximum of 2³ voxels, transposed convolution back to the input's grid.

    Args:
        in_channels: Modalities, C.
        out_channels: Regions or classes, K.
        width: Channels between the two layers.
        spatial_dims: 2 or 3.

    Attributes:
        config: Plain arguments, with `_target_`, that build the same network again.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, width: int = 64, spatial_dims: int = 3
    ) -> None:
        super().__init__()
        self.config: dict[str, Any] = {
            "_target_": "lightning_brats.models.FCNN",
            "in_channels": in_channels,
            "out_channels": out_channels,
            "width": width,
            "spatial_dims": spatial_dims,
        }
        layers = Layers(spatial_dims=spatial_dims)
        self.encoder = nn.Sequential(
            layers.layer("Conv")(in_channels, width, 3, padding=1),
            nn.ReLU(inplace=True),
            layers.make_pool(),
        )
        self.decoder = layers.make_upsample(width, out_channels)
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        """Image (B, C, X, Y, Z) → logits (B, K, X, Y, Z)."""
        logits = self.decoder(self.encoder(x))
        return logits[(..., *map(slice, x.shape[2:]))]  # pooling rounded odd sizes up
