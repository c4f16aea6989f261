"""nnU-Net's weights in our U-Net, against outputs of its own package: stored ones, and fresh ones.

`plain_conv_unet.json` was made with `PlainConvUNet` of dynamic-network-architectures 0.4.4 in
double precision, from the weights and images that `filled` gives.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lightning_brats.errors import ConfigError
from lightning_brats.models import UNet, describe
from lightning_brats.models.nnunet import (
    load_plain_conv_unet,
    plain_conv_unet,
    residual_encoder_unet,
)

GOLDEN = json.loads(Path(__file__).with_name("plain_conv_unet.json").read_text())


def filled(shape: list[int], number: int) -> Tensor:
    """Numbers between -0.5 and 0.5 that can be made anywhere."""
    count = torch.Size(shape).numel()
    return (torch.arange(count).double() * 0.7 + 1.3 * number).sin().view(shape) / 2


def weights(case: dict) -> dict[str, Tensor]:
    return {key: filled(shape, i) for i, (key, shape) in enumerate(case["weights"].items())}


@pytest.mark.parametrize("case", GOLDEN, ids=lambda c: f"{len(c['image']) - 2}-D")
def test_stored_outputs(case: dict) -> None:
    net = load_plain_conv_unet(weights(case)).train()
    outputs = net(filled(case["image"], 99).float())
    assert len(outputs) == len(case["outputs"]) == 2
    for output, expected in zip(outputs, case["outputs"], strict=True):
        torch.testing.assert_close(output.flatten().tolist(), expected, rtol=1e-4, atol=2e-5)


def test_prefixes_of_wrapped_networks() -> None:
    state = weights(GOLDEN[0])
    wrapped = {f"module._orig_mod.{key}": value for key, value in state.items()}
    one, two = load_plain_conv_unet(state), load_plain_conv_unet(wrapped)
    for key, value in one.state_dict().items():
        assert torch.equal(two.state_dict()[key], value)


def test_other_weights_are_refused() -> None:
    state = weights(GOLDEN[0])
    with pytest.raises(ConfigError, match=r"stem\.weight"):
        load_plain_conv_unet(state | {"encoder.stem.weight": torch.zeros(1)})
    with pytest.raises(ConfigError, match="first convolution is missing"):
        load_plain_conv_unet({})
    key = "decoder.transpconvs.0.weight"
    stretched = state | {key: state[key].repeat_interleave(2, -1)}  # a stride of 4 on one axis
    with pytest.raises(ConfigError, match="strides"):
        load_plain_conv_unet(stretched)
    unbiased = {key: value for key, value in state.items() if not key.endswith("conv.bias")}
    with pytest.raises(ConfigError, match="PlainConvUNet"):
        load_plain_conv_unet(unbiased)


def test_without_the_package_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dynamic_network_architectures.architectures.unet", None)
    for build in (plain_conv_unet, residual_encoder_unet):
        with pytest.raises(ConfigError, match="pip install dynamic-network-architectures"):
            build(4, 3)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("convs", [1, 2])
def test_fresh_weights(dims: int, convs: int) -> None:
    pytest.importorskip("dynamic_network_architectures")
    theirs = plain_conv_unet(
        2, 3, spatial_dims=dims, widths=[4, 6, 8], convs=convs, deep_supervision=True
    )
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    ours = load_plain_conv_unet(theirs.state_dict())
    image = torch.randn(2, 2, *[16] * dims)
    torch.testing.assert_close(ours(image), theirs(image))
    torch.testing.assert_close(ours.eval()(image), theirs.eval()(image))


def test_base_is_their_default_network() -> None:
    pytest.importorskip("dynamic_network_architectures")
    with torch.device("meta"):
        theirs, ours = plain_conv_unet(4, 3), UNet(4, 3, size="base")
    assert describe(theirs, (4, 64, 64, 64)) == describe(ours, (4, 64, 64, 64))
