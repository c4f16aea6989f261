"""A segmentation network and an adversary that learns to tell its masks from true ones.

The adversary looks at image and mask together and judges overlapping patches, not the volume as a
whole (PatchGAN, Isola et al. 2017, here in three dimensions). To segmentation the idea came with
Luc et al. (2016) and SegAN (Xue et al. 2018). Unlike theirs, its layers are held to a norm of one
by spectral normalisation (Miyato et al. 2018), so that its gradients stay finite without weights
that are clipped.

Shapes: B batch, C channels in, K outputs, X Y Z space (X Y in 2-D).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

from lightning_brats.errors import ConfigError
from lightning_brats.models.layers import Layers, check

if TYPE_CHECKING:
    from lightning_brats.losses import Adversary

SLOPE = 0.2  # of the leaky ReLU (Radford et al. 2016)
NORMS = ("spectral", "instance", "none")


class PatchDiscriminator(nn.Module):
    """Strided convolutions down to one number for every patch: how real it looks.

    Each stage halves the grid by a convolution of kernel 4, which with stride 2 weighs all voxels
    alike. Two stages see 18 voxels along an axis, three 38.

    Args:
        in_channels: Channels of image and mask together, C.
        widths: Channels a stage, finest first.
        norm: `spectral` of all convolutions, `instance` after all but the first, or `none`.
        spatial_dims: 2 or 3.

    Raises:
        ConfigError: A setting that cannot work.
    """

    def __init__(
        self,
        in_channels: int,
        widths: Sequence[int] = (32, 64, 128),
        norm: str = "spectral",
        spatial_dims: int = 3,
    ) -> None:
        super().__init__()
        check("norm of the discriminator", norm, NORMS)
        if not widths or min(widths) < 1:
            raise ConfigError(
                f"widths {list(widths)} of the discriminator",
                remedy="give one or more numbers of channels, e.g. [32,64,128]",
            )
        style = Layers(spatial_dims=spatial_dims)
        parts: list[nn.Module] = []
        for stage, width in enumerate(widths):
            parts.append(style.layer("Conv")(in_channels, width, 4, stride=2, padding=1))
            if norm == "instance" and stage:
                parts.append(style.make_norm(width))
            parts.append(nn.LeakyReLU(SLOPE, inplace=True))
            in_channels = width
        parts.append(style.layer("Conv")(in_channels, 1, 3, padding=1))
        self.smallest = 2 ** len(widths) * (2 if norm == "instance" else 1)
        self.layers = nn.Sequential(*parts)
        for convolution in self._convolutions():
            nn.init.kaiming_normal_(convolution.weight, a=SLOPE)  # He et al. (2015)
            if convolution.bias is not None:
                nn.init.zeros_(convolution.bias)
            if norm == "spectral":
                spectral_norm(convolution)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, 1, X/s, Y/s, Z/s), s = 2 to the number of stages; above 0 is real.

        Args:
            x: Image and mask (B, C, X, Y, Z).

        Raises:
            ConfigError: An axis has too few voxels.
        """
        if min(x.shape[2:]) < self.smallest:
            raise ConfigError(
                f"the discriminator cannot judge patches of {'×'.join(map(str, x.shape[2:]))}",
                remedy=f"use patches of at least {self.smallest} voxels along each axis "
                "(queue.patch_size), or fewer widths of the discriminator",
            )
        with parametrize.cached():
            with torch.autocast(x.device.type, enabled=False):
                # Spectral norms in single precision: what is computed here is used below.
                _ = [convolution.weight for convolution in self._convolutions()]
            return self.layers(x)

    def _convolutions(self) -> list[nn.Conv2d | nn.Conv3d]:
        return [part for part in self.layers if isinstance(part, nn.Conv2d | nn.Conv3d)]


class SegGAN(nn.Module):
    """A segmentation network, called generator here, with the discriminator that it trains against.

    Called, it is its generator and nothing else; the discriminator is for training alone.

    Args:
        in_channels: Modalities, C.
        out_channels: Regions or classes, K.
        generator: Makes any segmentation network of these two.
        adversary: How the two train each other.
        discriminator: Makes the discriminator of so many channels.
        spatial_dims: 2 or 3, of both.

    Raises:
        ConfigError: The generator has its own adversary, or is for other dimensions.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        generator: Callable[..., nn.Module],
        adversary: Adversary,
        discriminator: Callable[..., nn.Module] = PatchDiscriminator,
        spatial_dims: int = 3,
    ) -> None:
        super().__init__()
        channels = {"in_channels": in_channels, "out_channels": out_channels}
        self.generator = generator(**channels, **_dimensions(generator, spatial_dims))
        if isinstance(self.generator, SegGAN):
            raise ConfigError(
                "the generator has a discriminator of its own",
                remedy="choose a segmentation network: model@model.generator=attention_unet",
            )
        self.discriminator = discriminator(in_channels + out_channels, spatial_dims=spatial_dims)
        self.adversary = adversary
        self.spatial_dims = spatial_dims

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """Logits of the generator."""
        return self.generator(x)

    def judge(self, image: Tensor, mask: Tensor) -> Tensor:
        """Logits of the discriminator, one a patch; above 0 is real.

        Args:
            image: (B, C, X, Y, Z).
            mask: Of each output, from 0 to 1, (B, K, X, Y, Z). In two dimensions one axis of both
                has length 1, whichever it is.
        """
        pair = torch.cat((image, mask.to(image.dtype)), 1)
        if self.spatial_dims == 2:
            pair = pair.squeeze(2 + pair.shape[2:].index(1))
        return self.discriminator(pair)


def segmenter(net: nn.Module) -> nn.Module:
    """The part of a network that segments: what remains when training is over."""
    return net.generator if isinstance(net, SegGAN) else net


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """What is computed meanwhile has gradients through a module, none for its parameters.

    Args:
        module: Parameters of it that are frozen already remain so.
    """
    learnt = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in learnt:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learnt:
            parameter.requires_grad_(True)


def _dimensions(generator: Callable[..., nn.Module], wanted: int) -> dict[str, int]:
    """The generator's argument; configs of networks for volumes alone have none."""
    own = generator.keywords.get("spatial_dims") if isinstance(generator, partial) else None
    if own is None and wanted == 2:
        raise ConfigError(
            "the generator is for volumes alone",
            remedy="model.spatial_dims=3, or another one: model@model.generator=unet",
        )
    if own == 2 and wanted == 3:
        raise ConfigError(
            "the generator has two dimensions and the discriminator three",
            remedy="model.spatial_dims=2, which is for both",
        )
    return {} if own is None else {"spatial_dims": wanted}
