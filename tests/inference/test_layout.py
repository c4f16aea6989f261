"""Channels-last features: norms against torch's own, whole networks in either order."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_brats.inference import SlidingWindow, layout, window
from lightning_brats.models import UNet

CPU = torch.device("cpu")


def features(*shape: int) -> Tensor:
    """Channels-last features whose mean is large beside their spread."""
    order = torch.channels_last if len(shape) == 4 else torch.channels_last_3d
    generator = torch.Generator().manual_seed(0)
    return (20 + torch.randn(shape, generator=generator)).contiguous(memory_format=order)


@pytest.mark.parametrize("shape", [(1, 8, 9, 7, 5), (3, 4, 6, 6, 6), (2, 8, 31, 17)])
@pytest.mark.parametrize("groups", [None, 1, 2])
@pytest.mark.parametrize("affine", [True, False])
def test_norms_are_torch_s_and_keep_the_order(
    shape: tuple[int, ...], groups: int | None, affine: bool
) -> None:
    x, channels = features(*shape), shape[1]
    weight, bias = (torch.linspace(0.5, 2, channels), torch.arange(channels) - 1.0)
    settings = {"weight": weight, "bias": bias} if affine else {}
    exact = {key: value.double() for key, value in settings.items()}
    if groups is None:
        expected = F.instance_norm(x.double().contiguous(), **exact)
    else:
        expected = F.group_norm(x.double().contiguous(), groups, **exact)
    with layout.ChannelsLast():
        found = F.group_norm(x, groups, **settings) if groups else F.instance_norm(x, **settings)
    assert torch.allclose(found.double(), expected, atol=2e-5)
    assert found.stride() == x.stride()


def test_large_features_are_normalised_to_single_precision() -> None:
    """Two million squares: torch's own group norm is off by 5e-3 here."""
    x = features(1, 1, 128, 128, 128)
    x = torch.cat([x, x + 1], 1).contiguous(memory_format=torch.channels_last_3d)
    with layout.ChannelsLast():
        found = F.instance_norm(x)
    mean, std = x[0, 0].double().mean(), x[0, 0].double().std(correction=0)
    assert (found[0, 0] - (x[0, 0] - mean) / std).abs().max() < 1e-4


def test_other_orders_and_types_are_left_to_torch() -> None:
    x = features(2, 4, 5, 6, 7)
    half = (x - 20).bfloat16()
    with layout.ChannelsLast():
        found = F.instance_norm(half)
        usual = F.instance_norm(x.contiguous())
    assert torch.equal(usual, F.instance_norm(x.contiguous()))
    expected = F.instance_norm(half.double())
    assert found.dtype == torch.bfloat16
    assert found.stride() == half.stride()
    assert (found.double() - expected).abs().max() < 2 * 2**-8 * expected.abs().max()
    running = torch.zeros(4), torch.ones(4)
    with layout.ChannelsLast():
        found = F.instance_norm(features(2, 4, 5, 6, 7), *running, use_input_stats=False)
    assert torch.allclose(found, features(2, 4, 5, 6, 7), atol=1e-3)


@pytest.mark.parametrize(
    ("net", "patch"),
    [
        (UNet(2, 3, size="tiny", skip="attention", block="residual"), (16, 16, 16)),
        (UNet(2, 3, size="tiny", norm="group"), (16, 12, 20)),
    ],
)
def test_a_network_s_answer_does_not_depend_on_the_order(
    net: nn.Module, patch: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    orders: list[bool] = []
    net.eval().register_forward_pre_hook(
        lambda module, args: orders.append(
            args[0].is_contiguous(memory_format=torch.channels_last_3d)
        )
    )
    x = torch.rand(2, 20, 20, 20) + 0.1
    run = SlidingWindow(patch, precision="32", batch_size=2, tta="flips")
    assert layout.channels_last_helps(net, CPU)
    found = run(net, x, "regions")
    assert all(orders)
    monkeypatch.setattr(window, "channels_last_helps", lambda net, device: False)
    orders.clear()
    expected = run(net, x, "regions")
    assert not any(orders)
    assert torch.allclose(found, expected, atol=1e-5)
    assert expected.std() > 1e-3


def test_transformers_and_other_devices_keep_their_order() -> None:
    convolution = nn.Conv3d(2, 2, 3)
    assert not layout.channels_last_helps(nn.Sequential(convolution, nn.LayerNorm(2)), CPU)
    assert not layout.channels_last_helps(convolution, torch.device("cuda"))
    assert not layout.channels_last_helps(nn.Linear(2, 2), CPU)
