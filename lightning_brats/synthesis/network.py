"""The generator: from a mask and what surrounds it to the modalities.

A U-Net in place of pix2pix' (Isola et al. 2017), whose loss it has too: L1 and a discriminator of
patches. It differs in its input, which holds the image around the hole that is to be filled, and in
noise as a channel instead of dropout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from lightning_brats.errors import ConfigError
from lightning_brats.models import UNet


class MaskToImage(nn.Module):
    """Our U-Net, and how it is to be trained.

    Args:
        in_channels: Of `lightning_brats.synthesis.condition.condition`.
        out_channels: Modalities.
        adversarial: Weight of the discriminator's judgement beside the L1 error; 0 leaves it out.
        tumour_weight: Weight of a tumour's voxel in the L1 error, where another one has 1.
        margin: Voxels around a tumour that are generated with it.
        critic: Widths of the discriminator.
        unet: Further arguments of `UNet`.

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
        adversarial: float = 0.02,
        tumour_weight: float = 2.0,
        margin: int = 3,
        critic: Sequence[int] = (16, 32, 64),
        **unet: Any,
    ) -> None:
        super().__init__()
        if adversarial < 0 or tumour_weight <= 0 or margin < 1:
            raise ConfigError(
                f"model.adversarial={adversarial}, tumour_weight={tumour_weight}, margin={margin}",
                remedy="give weights of at least 0 and above 0, and a margin of at least 1 voxel",
            )
        self.adversarial, self.tumour_weight = float(adversarial), float(tumour_weight)
        self.margin, self.critic = int(margin), list(critic)
        self.unet = UNet(in_channels, out_channels, **unet)
        self.config: dict[str, Any] = self.unet.config | {
            "_target_": "lightning_brats.synthesis.MaskToImage",
            "adversarial": self.adversarial,
            "tumour_weight": self.tumour_weight,
            "margin": self.margin,
            "critic": self.critic,
        }

    def forward(self, x: Tensor) -> Tensor:
        """Modalities (B, C, X, Y, Z) of a condition (B, K, X, Y, Z)."""
        return self.unet(x)
