"""The layers for CPUs against torch's own, in values and gradients; and the U-Net made of them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_brats.models import UNet, channels_last
from lightning_brats.models.channels_last import InstanceNorm2d, InstanceNorm3d, UpConv2d, UpConv3d

SHAPES = [(6, 5, 4), (7, 6)]


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def arranged(x: Tensor) -> Tensor:
    order = torch.channels_last if x.ndim == 4 else torch.channels_last_3d
    return x.contiguous(memory_format=order)


def gradients(y: Tensor, grad: Tensor, *of: Tensor) -> list[Tensor]:
    return [y, *torch.autograd.grad(y, of, grad.to(y.dtype))]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_instance_norm(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    norm = (InstanceNorm2d if len(shape) == 2 else InstanceNorm3d)(5, affine=True)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = arranged((3 * torch.randn(3, 5, *shape) + 2).to(dtype)).requires_grad_()
    y, grad = norm(x), torch.randn(3, 5, *shape).to(dtype)
    assert y.grad_fn.name() == "_InstanceNormBackward"
    assert y.dtype == dtype
    exact = [t.detach().double().requires_grad_() for t in (x, norm.weight, norm.bias)]
    expected = F.instance_norm(exact[0], weight=exact[1], bias=exact[2], eps=norm.eps)
    found = gradients(y, grad, x, norm.weight, norm.bias)
    rounding = 1e-5 if dtype == torch.float32 else 2e-2
    for ours, theirs in zip(found, gradients(expected, grad, *exact), strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=rounding, atol=rounding)


def test_statistics_are_combined_from_slabs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels_last, "SLAB", 50)  # two rows of 5 × 4, the last slab has one
    x = arranged(torch.randn(2, 3, 7, 5, 4) * torch.linspace(1, 9, 7)[:, None, None] + 100)
    mean, variance = channels_last.moments(x)
    torch.testing.assert_close(mean, x.double().mean((2, 3, 4)).float())
    exact = x.double().var((2, 3, 4), unbiased=False).float()
    torch.testing.assert_close(variance, exact, rtol=1e-4, atol=0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("half", [False, True])
def test_up_convolution(shape: tuple[int, ...], half: bool) -> None:
    conv = (UpConv2d if len(shape) == 2 else UpConv3d)(6, 4)
    x = arranged(torch.randn(2, 6, *shape)).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        y = conv(x)
        expected = super(type(conv), conv).forward(x)
    assert y.grad_fn.name() == "_UpConvBackward"
    assert y.dtype == expected.dtype == (torch.bfloat16 if half else torch.float32)
    grad = arranged(torch.randn_like(y))
    of = (x, conv.weight, conv.bias)
    rounding = 5e-2 if half else 1e-5
    for ours, theirs in zip(gradients(y, grad, *of), gradients(expected, grad, *of), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=rounding, atol=rounding)


@pytest.mark.parametrize("shape", [(16, 12, 10), (16, 12)])
@pytest.mark.parametrize("skip", ["concat", "attention"])
def test_a_unet_computes_the_same_in_either_order(
    shape: tuple[int, ...], skip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Gradients of a leaky ReLU jump where rounding moves a value over nought: a smooth one here.
    settings = {"skip": skip, "spatial_dims": len(shape), "activation": "silu"}
    net = UNet(2, 3, widths=[8, 8, 16], **settings)
    image = torch.randn(2, 2, *shape)
    used: list[str] = []
    net.encoder[0][1].register_forward_hook(lambda m, i, y: used.append(y.grad_fn.name()))
    results = []
    for arrange in (channels_last.arrange, lambda x: x):
        monkeypatch.setattr("lightning_brats.models.unet.arrange", arrange)
        logits = net(image)
        results.append(gradients(logits, logits.detach(), *net.parameters()))
    assert used[0] == "_InstanceNormBackward" != used[1]
    largest = max(plain.norm() for plain in results[1])  # that of a bias before a norm is nought
    for ours, plain in zip(*results, strict=True):
        assert (ours - plain).norm() <= 1e-4 * plain.norm() + 1e-5 * largest
    torch.testing.assert_close(results[0][0], results[1][0], rtol=2e-5, atol=2e-5)


def test_names_of_parameters_are_torchs() -> None:
    state = UNet(2, 3, widths=[8, 16]).state_dict()
    assert state["encoder.0.1.weight"].shape == (8,)
    assert state["upsamples.0.weight"].shape == (16, 8, 2, 2, 2)
    assert all(value.is_contiguous() for value in state.values())  # checkpoints keep their order


@pytest.mark.parametrize("settings", [{}, {"affine": True, "track_running_stats": True}])
def test_other_kinds_of_instance_norm_are_torchs(settings: dict) -> None:
    x = arranged(torch.randn(2, 3, 6, 5, 4))
    norm = InstanceNorm3d(3, **settings)
    torch.testing.assert_close(norm(x), nn.InstanceNorm3d(3, **settings)(x))


def test_a_compiled_unet_has_one_graph_and_the_same_logits() -> None:
    net = UNet(2, 3, widths=[8, 16], skip="attention")
    image = torch.randn(1, 2, 8, 8, 8)
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(image), net(image), rtol=2e-5, atol=2e-5)
