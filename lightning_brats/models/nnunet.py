"""nnU-Net's own networks, and its weights in ours.

`plain_conv_unet` and `residual_encoder_unet` build the networks of nnU-Net (Isensee et al. 2021)
and of its residual-encoder presets (Isensee et al. 2024, "nnU-Net revisited") with the authors'
package dynamic-network-architectures, in the configuration that nnU-Net plans for patches of 128³:
3³ kernels, every axis halved from stage to stage, instance norm, leaky ReLU.

`load_plain_conv_unet` needs no package: it turns a trained PlainConvUNet's weights into our `UNet`,
which computes the same.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lightning_brats.errors import ConfigError
from lightning_brats.models.unet import SIZES, UNet

Stages = int | Sequence[int]
PACKAGE = "dynamic_network_architectures.architectures.unet"
INSTALL = "pip install dynamic-network-architectures"
BLOCKS = (1, 3, 4, 6, 6, 6)
"""Residual blocks a stage of the ResEnc presets."""
PARTS = re.compile(
    r"(?P<side>encoder|decoder)\.stages\.(?P<stage>\d+)\.(?:0\.)?convs\.(?P<conv>\d+)\."
    r"(?P<layer>conv|norm)\.(?P<kind>weight|bias)"
    r"|decoder\.(?P<part>transpconvs|seg_layers)\.(?P<index>\d+)\.(?P<of>weight|bias)"
)
COPIES = re.compile(r"\.all_modules\.|^decoder\.encoder\.")  # of tensors stored elsewhere as well


def plain_conv_unet(
    in_channels: int,
    out_channels: int,
    *,
    spatial_dims: int = 3,
    widths: Sequence[int] = SIZES["base"],
    convs: Stages = 2,
    deep_supervision: bool = False,
) -> nn.Module:
    """nnU-Net's default network: `PlainConvUNet` of dynamic-network-architectures.

    Args:
        in_channels: Modalities.
        out_channels: Regions or classes.
        spatial_dims: 2 or 3.
        widths: Channels a stage, finest first.
        convs: Convolutions a stage, one number for all or one a stage (and, without the coarsest,
            of the decoder).
        deep_supervision: While training, give a list of logits, finest first.

    Raises:
        ConfigError: dynamic-network-architectures is not installed.
    """
    encoder = [convs] * len(widths) if isinstance(convs, int) else list(convs)
    settings = _settings(spatial_dims, widths) | {
        "n_conv_per_stage": encoder,
        "n_conv_per_stage_decoder": encoder[:-1],
    }
    return _build("PlainConvUNet", in_channels, out_channels, deep_supervision, settings)


def residual_encoder_unet(
    in_channels: int,
    out_channels: int,
    *,
    spatial_dims: int = 3,
    widths: Sequence[int] = SIZES["base"],
    blocks: Sequence[int] = BLOCKS,
    deep_supervision: bool = False,
) -> nn.Module:
    """nnU-Net's residual-encoder U-Net: `ResidualEncoderUNet` of dynamic-network-architectures.

    The decoder has one convolution a stage, as in the ResEnc presets.

    Args:
        in_channels: Modalities.
        out_channels: Regions or classes.
        spatial_dims: 2 or 3.
        widths: Channels a stage, finest first.
        blocks: Residual blocks of the encoder, one number a stage.
        deep_supervision: While training, give a list of logits, finest first.

    Raises:
        ConfigError: dynamic-network-architectures is not installed.
    """
    settings = _settings(spatial_dims, widths) | {
        "n_blocks_per_stage": list(blocks),
        "n_conv_per_stage_decoder": 1,
    }
    return _build("ResidualEncoderUNet", in_channels, out_channels, deep_supervision, settings)


def load_plain_conv_unet(weights: Mapping[str, Tensor]) -> UNet:
    """Our `UNet` with the weights of a trained `PlainConvUNet`: equal logits for equal images.

    The weights of an nnU-Net checkpoint are found with
    `torch.load("checkpoint_final.pth", weights_only=False)["network_weights"]`, which runs code
    stored in the file: load only files that you trust. The network gets heads on all grids
    (`deep_supervision=True`), as nnU-Net's has.

    Args:
        weights: State dict of a PlainConvUNet with 3³ kernels that halves every axis from stage to
            stage, the same number of convolutions in all stages.

    Raises:
        ConfigError: The weights are of another network, or of one that `UNet` cannot be.
    """
    weights = {key.removeprefix("module."): value for key, value in weights.items()}
    weights = {key.removeprefix("_orig_mod."): value for key, value in weights.items()}
    own = {key: value for key, value in weights.items() if not COPIES.search(key)}
    unknown = [key for key in own if not PARTS.fullmatch(key)]
    first = own.get("encoder.stages.0.0.convs.0.conv.weight")
    if first is None or unknown:
        found = f"it has {unknown[0]}" if unknown else "its first convolution is missing"
        raise _not_plain(found)
    stages = 1 + max(int(m["stage"]) for m in map(PARTS.fullmatch, own) if m and m["stage"])
    convs = sum(key.startswith("encoder.stages.0.") for key in own) // 4
    net = UNet(
        first.shape[1],
        own[f"decoder.seg_layers.{stages - 2}.weight"].shape[0],
        widths=[own[f"encoder.stages.{i}.0.convs.0.conv.weight"].shape[0] for i in range(stages)],
        convs=convs,
        spatial_dims=first.ndim - 2,
        deep_supervision=True,
    )
    renamed = {_our_name(key): value for key, value in own.items()}
    expected = {key: value.shape for key, value in net.state_dict().items()}
    if {key: value.shape for key, value in renamed.items()} != expected:
        raise _not_plain("kernels, strides, biases or convolutions a stage are not those of `UNet`")
    net.load_state_dict(renamed)
    return net


def _our_name(key: str) -> str:
    match = PARTS.fullmatch(key)
    assert match is not None
    if match["part"]:
        ours = {"transpconvs": "upsamples", "seg_layers": "heads"}[match["part"]]
        return f"{ours}.{match['index']}.{match['of']}"
    position = 3 * int(match["conv"]) + (match["layer"] == "norm")  # convolution, norm, activation
    return f"{match['side']}.{match['stage']}.{position}.{match['kind']}"


def _not_plain(found: str) -> ConfigError:
    return ConfigError(
        f"not the weights of a PlainConvUNet that UNet can be: {found}",
        remedy="give the 'network_weights' of a checkpoint of nnU-Net's default 3d_fullres or 2d "
        "trainer, whose patch has the same edge on all axes",
    )


def _settings(spatial_dims: int, widths: Sequence[int]) -> dict[str, Any]:
    if spatial_dims not in (2, 3):
        raise ConfigError(f"spatial_dims is {spatial_dims}; it has to be 2 or 3")
    return {
        "n_stages": len(widths),
        "features_per_stage": list(widths),
        "conv_op": getattr(nn, f"Conv{spatial_dims}d"),
        "kernel_sizes": 3,
        "strides": [1] + [2] * (len(widths) - 1),
        "conv_bias": True,
        "norm_op": getattr(nn, f"InstanceNorm{spatial_dims}d"),
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": nn.LeakyReLU,
        "nonlin_kwargs": {"inplace": True},
    }


def _build(
    name: str, inputs: int, outputs: int, deep_supervision: bool, settings: Mapping[str, Any]
) -> nn.Module:
    try:
        architectures = importlib.import_module(PACKAGE)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{name} is part of dynamic-network-architectures, which is not installed",
            remedy=INSTALL,
        ) from error
    net = getattr(architectures, name)(
        input_channels=inputs, num_classes=outputs, deep_supervision=deep_supervision, **settings
    )
    net.apply(net.initialize)  # as nnU-Net does after building
    if not deep_supervision:  # the heads of coarser grids are there and never used
        net.decoder.seg_layers[:-1].requires_grad_(False)
    net.register_forward_hook(_finest_in_evaluation)
    return net


def _finest_in_evaluation(net: nn.Module, inputs: Any, logits: Any) -> Any:
    """Like all our networks, give one output unless training; theirs gives all in both."""
    several = not isinstance(logits, torch.Tensor)
    return logits[0] if several and not net.training else logits
