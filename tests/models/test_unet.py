"""The U-Net against counts made by hand, nnU-Net's count, and cases whose answer is known."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from monai.networks.nets.attentionunet import AttentionBlock
from torch import Tensor, nn

from lightning_brats.errors import ConfigError
from lightning_brats.models import UNet
from lightning_brats.models.blocks import AttentionGate, ResidualBlock
from lightning_brats.models.layers import Layers


def count(**settings: object) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in UNet(4, 3, **settings).parameters())


def block_count(inputs: int, outputs: int, taps: int) -> int:
    """Two convolutions with bias and two norms."""
    return inputs * outputs * taps + outputs * outputs * taps + 2 * outputs + 2 * 2 * outputs


def test_parameters_by_hand() -> None:
    two = {"widths": [8, 16]}
    # encoder 2640 and 10464, decoder 5232, up 16·8·8 + 8, head 8·3 + 3
    plain = 2640 + 10464 + 5232 + 1032 + 27
    assert block_count(4, 8, 27) == 2640
    assert count(**two) == plain == 19395
    # shortcuts with norm: 4→8, 8→16, 16→8
    residual = (32 + 8 + 16) + (128 + 16 + 32) + (128 + 8 + 16)
    assert count(**two, block="residual") == plain + residual
    # gate: 8→4 without bias, 16→4, 4→1
    gate = 32 + 68 + 5
    assert count(**two, skip="attention") == plain + gate
    assert count(**two, skip="attention", block="residual") == plain + residual + gate
    # without skips the decoder's first convolution is 8→8
    assert count(**two, skip="none") == plain - 8 * 8 * 27
    assert count(**two, downsample="pool") == plain
    assert count(**two, upsample="linear") == plain - 16 * 8 * 7
    # a third convolution of 8, 16 and 8 channels
    third = [c * c * 27 + 3 * c for c in (8, 16, 8)]
    assert count(**two, convs=3) == plain + sum(third)


def test_parameters_in_two_dimensions_by_hand() -> None:
    expected = block_count(4, 8, 9) + block_count(8, 16, 9) + block_count(16, 8, 9)
    assert count(widths=[8, 16], spatial_dims=2) == expected + (16 * 8 * 4 + 8) + 27 == 6787


def test_base_has_the_parameters_of_nnunet() -> None:
    # dynamic-network-architectures 0.4: PlainConvUNet(4, 6, [32, 64, 128, 256, 320, 320],
    # strides 1 2 2 2 2 2, 2 convolutions with bias a stage, affine InstanceNorm, 3 classes, deep
    # supervision). test_nnunet.py copies its weights.
    assert count(size="base", deep_supervision=True) == 31_198_991
    assert count(size="base", deep_supervision=True, spatial_dims=2) == 10_712_591


@pytest.mark.parametrize(
    "settings",
    [
        {"norm": "batch", "activation": "relu", "downsample": "pool"},
        {"norm": "group", "activation": "silu", "upsample": "linear"},
        {"activation": "gelu", "kernel_size": 5, "convs": 3, "block": "residual"},
        {"convs": 1, "dropout": 0.3, "skip": "none"},
        {"dropout": [0.1, 0.2, 0.3], "skip": "attention", "block": "residual"},
    ],
)
@pytest.mark.parametrize("shape", [(19, 12, 9), (19, 12)])
def test_options(settings: dict, shape: tuple[int, ...]) -> None:
    net = UNet(2, 5, widths=[8, 16, 24], spatial_dims=len(shape), **settings)
    logits = net(torch.randn(2, 2, *shape))
    assert logits.shape == (2, 5, *shape)
    logits.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_deep_supervision() -> None:
    net = UNet(4, 3, widths=[4, 8, 12, 16], deep_supervision=True)
    image = torch.randn(1, 4, 21, 16, 24)
    outputs = net(image)
    assert [tuple(o.shape) for o in outputs] == [
        (1, 3, 21, 16, 24),
        (1, 3, 11, 8, 12),
        (1, 3, 6, 4, 6),
    ]
    sum(o.mean() for o in outputs).backward()
    assert all(p.grad is not None for p in net.parameters())
    # The finest output is what evaluation gives: instance norm knows no modes.
    torch.testing.assert_close(net.eval()(image), outputs[0])


def attention_net(bias: float) -> tuple[UNet, UNet]:
    """A plain U-Net, and an attention U-Net of the same weights with all gates at one value."""
    plain, gated = (UNet(2, 3, widths=[4, 8, 16], skip=skip) for skip in ("concat", "attention"))
    gated.load_state_dict(plain.state_dict(), strict=False)
    with torch.no_grad():
        for join in gated.joins:
            join.weigh[1].weight.zero_()
            join.weigh[1].bias.fill_(bias)
    return plain, gated


def test_open_gates_make_a_plain_unet() -> None:
    plain, gated = attention_net(50.0)
    image = torch.randn(2, 2, 13, 16, 10)
    torch.testing.assert_close(gated(image), plain(image))
    for weights in gated.attention_maps(image):
        torch.testing.assert_close(weights, torch.ones(2, 1, 13, 16, 10))


def test_shut_gates_make_a_unet_without_skips() -> None:
    plain, gated = attention_net(-100.0)
    cut = UNet(2, 3, widths=[4, 8, 16], skip="none")
    weights = plain.state_dict()
    for stage, channels in (("0", 8), ("1", 4)):  # what the decoder reads of the up-sampled half
        weights[f"decoder.{stage}.0.weight"] = weights[f"decoder.{stage}.0.weight"][:, :channels]
    cut.load_state_dict(weights)
    image = torch.randn(1, 2, 12, 12, 12)
    torch.testing.assert_close(gated(image), cut(image))


def test_attention_gate_by_hand() -> None:
    gate = AttentionGate(Layers(spatial_dims=2), channels=2, coarse_channels=1)
    with torch.no_grad():
        gate.from_skip.weight.copy_(torch.tensor([[1.0, 2.0]])[..., None, None])
        gate.from_coarse.weight.fill_(3.0)
        gate.from_coarse.bias.fill_(-4.0)
        gate.weigh[1].weight.fill_(0.5)
        gate.weigh[1].bias.fill_(0.25)
    skip = torch.tensor([[0.0, 4.0], [0.0, 0.0]]).expand(1, 2, 2, 2)
    coarse = torch.ones(1, 1, 1, 1)
    # averages 1 and 1: 1 + 2; gating 3 - 4; sum 2; half plus a quarter: sigmoid(1.25)
    weight = 1 / (1 + torch.tensor(-1.25).exp())
    up = torch.full((1, 2, 2, 2), 7.0)
    torch.testing.assert_close(gate(up, skip, coarse), torch.cat((up, skip * weight), 1))


@pytest.mark.parametrize("shape", [(16, 24, 8), (16, 24)])
def test_gates_compute_what_monais_do(shape: tuple[int, ...]) -> None:
    # MONAI's block gates on one grid. On the coarse one, with skips averaged as ours averages them,
    # both give the same weights. Its batch norms are made to do nothing; ours has none.
    net = UNet(2, 3, widths=[4, 8, 16], skip="attention", spatial_dims=len(shape)).eval()
    seen: list[tuple[Tensor, ...]] = []
    weights: list[Tensor] = []
    for join in net.joins:
        join.register_forward_hook(lambda module, inputs, output: seen.append(inputs))
        join.weigh.register_forward_hook(lambda module, inputs, output: weights.append(output))
    with torch.no_grad():
        net(torch.randn(2, 2, *shape))
    pool = F.avg_pool2d if len(shape) == 2 else F.avg_pool3d
    for join, (_, skip, coarse), found in zip(net.joins, seen, weights, strict=True):
        channels = skip.shape[1]
        block = AttentionBlock(len(shape), channels // 2, coarse.shape[1], channels).eval()
        for norm in (block.W_g[1], block.W_x[1], block.psi[1]):
            norm.eps = 0.0
        theirs = [block.W_x[0].conv, block.W_g[0].conv, block.psi[0].conv]
        for copy, gate in zip(
            theirs, [join.from_skip, join.from_coarse, join.weigh[1]], strict=True
        ):
            copy.weight.data, copy.bias.data = gate.weight.data, torch.zeros_like(copy.bias)
            if gate.bias is not None:
                copy.bias.data = gate.bias.data
        small = pool(skip, 2)
        with torch.no_grad():
            torch.testing.assert_close(small * found, block(coarse, small))


@pytest.mark.parametrize("shape", [(7, 6, 5), (1, 4, 3), (5, 1, 1), (5, 4), (1, 7)])
def test_gates_average_blocks_of_any_size(shape: tuple[int, ...]) -> None:
    gate = AttentionGate(Layers(spatial_dims=len(shape)), 6, 8)
    skip = torch.randn(2, 6, *shape)
    pool = F.avg_pool2d if len(shape) == 2 else F.avg_pool3d
    small = pool(skip, [min(2, size) for size in shape], ceil_mode=True)
    coarse = torch.randn(2, 8, *small.shape[2:])
    weights = gate.weigh(gate.from_skip(small) + gate.from_coarse(coarse))
    fine = F.interpolate(weights, size=shape, mode=gate.mode)
    up = torch.zeros_like(skip)
    expected = torch.cat((up, skip * fine), 1)
    torch.testing.assert_close(gate(up, skip, coarse), expected)


@pytest.mark.parametrize("shape", [(17, 16, 9), (17, 30)])
def test_attention_maps(shape: tuple[int, ...]) -> None:
    net = UNet(4, 3, widths=[4, 8, 16, 32], skip="attention", spatial_dims=len(shape))
    maps = net.attention_maps(torch.randn(2, 4, *shape))
    assert [tuple(m.shape) for m in maps] == [(2, 1, *shape)] * 3
    for weights in maps:
        assert 0 <= weights.min() < weights.max() <= 1
    assert not any(module._forward_hooks for module in net.modules())
    assert UNet(4, 3, widths=[4, 8]).attention_maps(torch.randn(1, 4, 8, 8, 8)) == []


def test_residual_block_without_its_body_is_its_shortcut() -> None:
    block = ResidualBlock(Layers(activation="relu"), 4, 4)
    nn.init.zeros_(block.body[-1].weight)
    x = torch.randn(1, 4, 5, 6, 7)
    torch.testing.assert_close(block(x), x.relu())


def test_he_initialisation() -> None:
    torch.manual_seed(0)
    for name, parameter in UNet(4, 3, widths=[32, 64]).named_parameters():
        if parameter.ndim == 5 and parameter.numel() > 10_000:
            fan_in = parameter[0].numel()
            expected = (2 / (1 + 0.01**2) / fan_in) ** 0.5
            assert parameter.std().item() == pytest.approx(expected, rel=0.05), name
        elif name.endswith("0.bias"):
            assert parameter.abs().max() == 0, name


def test_dropout_acts_in_training_alone() -> None:
    torch.manual_seed(0)
    net = UNet(1, 2, widths=[4, 8], dropout=0.5)
    image = torch.randn(1, 1, 8, 8, 8)
    assert not torch.equal(net(image), net(image))
    net.eval()
    torch.testing.assert_close(net(image), net(image))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"block": "dense"}, "unknown block 'dense'"),
        ({"skip": "add"}, "concat, attention, none"),
        ({"size": "huge"}, "tiny, small, base, large"),
        ({"norm": "layer"}, "instance, batch, group"),
        ({"norm": "group", "widths": [4, 8]}, "divide by 8, not 4"),
        ({"spatial_dims": 4}, "2 or 3"),
        ({"kernel_size": 4}, "odd"),
        ({"widths": [8]}, "two or more widths"),
        ({"dropout": [0.1, 0.2]}, "one a stage"),
    ],
)
def test_bad_settings_are_named(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        UNet(4, 3, **settings)


def test_a_patch_too_small_is_named() -> None:
    with pytest.raises(ConfigError, match="8×8×8 is a single voxel after 3 halvings"):
        UNet(4, 3)(torch.zeros(1, 4, 8, 8, 8))
