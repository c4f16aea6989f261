"""The layers a network is made of, chosen by name, in two or three dimensions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from torch import nn

from lightning_brats.errors import ConfigError
from lightning_brats.models import channels_last

SLOPE = 0.01  # of the leaky ReLU, and so of the initialisation
ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "leaky_relu": lambda: nn.LeakyReLU(SLOPE, inplace=True),
    "relu": lambda: nn.ReLU(inplace=True),
    "gelu": nn.GELU,
    "silu": lambda: nn.SiLU(inplace=True),
}
INSTANCE_NORMS = {2: channels_last.InstanceNorm2d, 3: channels_last.InstanceNorm3d}
UP_CONVS = {2: channels_last.UpConv2d, 3: channels_last.UpConv3d}
NORMS: Mapping[str, Callable[[int, int], nn.Module]] = {
    "instance": lambda dims, channels: INSTANCE_NORMS[dims](channels, affine=True),
    "batch": lambda dims, channels: getattr(nn, f"BatchNorm{dims}d")(channels),
    "group": lambda dims, channels: nn.GroupNorm(8, channels),
    "none": lambda dims, channels: nn.Identity(),
}
OPTIONS: Mapping[str, Collection[str]] = {
    "norm": NORMS,
    "activation": ACTIVATIONS,
    "downsample": ("stride", "pool"),
    "upsample": ("transpose", "linear"),
}


def check(setting: str, value: str, options: Collection[str]) -> None:
    """Nothing, or the choices there are.

    Raises:
        ConfigError: The value is not one of them.
    """
    if value not in options:
        raise ConfigError(
            f"unknown {setting} '{value}'", remedy=f"choose from {', '.join(options)}"
        )


@dataclass(frozen=True)
class Layers:
    """The layers that all stages of a network share.

    Args:
        spatial_dims: 2 or 3.
        kernel_size: Edge of the convolutions; odd.
        convs: Convolutions a block.
        norm: `instance`, `batch`, `group` (8 groups) or `none`.
        activation: `leaky_relu`, `relu`, `gelu` or `silu`.
        downsample: `stride` of a stage's first convolution, or `pool` (maximum) in front of it.
        upsample: `transpose`, a learnt convolution, or `linear` interpolation.

    Raises:
        ConfigError: A setting is none of these.
    """

    spatial_dims: int = 3
    kernel_size: int = 3
    convs: int = 2
    norm: str = "instance"
    activation: str = "leaky_relu"
    downsample: str = "stride"
    upsample: str = "transpose"

    def __post_init__(self) -> None:
        if self.spatial_dims not in (2, 3):
            raise ConfigError(f"spatial_dims is {self.spatial_dims}; it has to be 2 or 3")
        if self.kernel_size % 2 == 0 or self.convs < 1:
            raise ConfigError(
                f"kernel_size is {self.kernel_size} and convs is {self.convs}; "
                "the kernel has to be odd, and a block needs a convolution"
            )
        for setting, options in OPTIONS.items():
            check(setting, getattr(self, setting), options)

    def layer(self, name: str) -> Callable[..., nn.Module]:
        """The 2-D or 3-D class of a torch layer, e.g. `Conv` → `nn.Conv3d`."""
        return getattr(nn, f"{name}{self.spatial_dims}d")

    def make_norm(self, channels: int) -> nn.Module:
        """The normalisation of so many channels."""
        if self.norm == "group" and channels % 8:
            raise ConfigError(f"norm=group needs widths that divide by 8, not {channels}")
        return NORMS[self.norm](self.spatial_dims, channels)

    def make_activation(self) -> nn.Module:
        """The non-linearity."""
        return ACTIVATIONS[self.activation]()

    def make_pool(self) -> nn.Module:
        """Halves every axis, rounding up."""
        return self.layer("MaxPool")(2, ceil_mode=True)

    def make_upsample(self, inputs: int, outputs: int) -> nn.Module:
        """Doubles every axis."""
        if self.upsample == "transpose":
            return UP_CONVS[self.spatial_dims](inputs, outputs)
        # The 1×1 convolution commutes with interpolation and is cheaper in front of it.
        mode = "bilinear" if self.spatial_dims == 2 else "trilinear"
        return nn.Sequential(
            self.layer("Conv")(inputs, outputs, 1), nn.Upsample(scale_factor=2, mode=mode)
        )


def initialise(module: nn.Module) -> None:
    """He initialisation (He et al. 2015) of one convolution, zero bias; for `Module.apply`."""
    if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        nn.init.kaiming_normal_(module.weight, a=SLOPE)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
