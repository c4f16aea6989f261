"""Sliding windows against arithmetic, MONAI's implementation and symmetries."""

from __future__ import annotations

import itertools

import pytest
import torch
from monai.inferers import sliding_window_inference
from torch import Tensor, nn

from lightning_brats.inference import SlidingWindow
from lightning_brats.inference.grid import gaussian_weights, window_starts


class Pointwise(nn.Module):
    """Logits made of each voxel alone: whatever the windows, there is one right answer."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :2] * 2 - 0.5


class Constant(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.tensor([1.5, -0.5, 0.0])[:, None, None, None].expand(len(x), 3, *x.shape[2:])


def convolutions(seed: int = 0) -> nn.Module:
    """Three layers whose windows' borders show: blending matters."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv3d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv3d(4, 3, 5, padding=2)
    ).eval()


def image(*shape: int, seed: int = 0) -> Tensor:
    """Random and nowhere zero, so all of it counts as brain."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, *shape, generator=generator) + 0.1


def exact(patch: tuple[int, int, int], **settings: object) -> SlidingWindow:
    return SlidingWindow(patch, precision="32", **settings)


@pytest.mark.parametrize(
    ("size", "patch", "overlap", "expected"),
    [
        (110, 64, 0.5, [0, 23, 46]),  # the example in nnU-Net's own comments
        (128, 128, 0.5, [0]),
        (40, 128, 0.5, [0]),
        (240, 128, 0.5, [0, 56, 112]),
        (30, 10, 0.0, [0, 10, 20]),
        (24, 20, 0.9, [0, 2, 4]),
        (4, 1, 0.5, [0, 1, 2, 3]),
    ],
)
def test_window_starts(size: int, patch: int, overlap: float, expected: list[int]) -> None:
    assert window_starts(size, patch, overlap) == expected


def test_weights_are_a_gaussian_of_an_eighth() -> None:
    weights = gaussian_weights((16, 8, 1))
    # 4.5 voxels from the centre at σ = 2 against the nearest voxel at 0.5.
    ratio = weights[12, 4, 0] / weights[8, 4, 0]
    assert ratio == pytest.approx(torch.tensor(-0.5 * (4.5**2 - 0.5**2) / 4).exp().item(), rel=1e-5)
    assert weights.min() == pytest.approx(1e-3)
    for axis in range(3):
        assert torch.equal(weights, weights.flip(axis))


@pytest.mark.parametrize("shape", [(20, 20, 20), (23, 17, 31), (9, 40, 21), (5, 6, 7)])
@pytest.mark.parametrize("tta", ["none", "flips"])
def test_pointwise_network_is_reproduced(shape: tuple[int, int, int], tta: str) -> None:
    x = image(*shape)
    result = exact((12, 16, 20), tta=tta, batch_size=3)(Pointwise().eval(), x, "regions")
    assert result.shape == (2, *shape)
    assert torch.allclose(result, (2 * x - 0.5).sigmoid(), atol=1e-6)


def test_constant_network() -> None:
    window = exact((8, 8, 8), tta="flips")
    regions = window(Constant().eval(), image(13, 9, 8), "regions")
    assert torch.allclose(regions.amax((1, 2, 3)), torch.tensor([1.5, -0.5, 0.0]).sigmoid())
    assert torch.allclose(regions.amin((1, 2, 3)), torch.tensor([1.5, -0.5, 0.0]).sigmoid())
    labels = window(Constant().eval(), image(13, 9, 8), "labels")
    assert torch.allclose(labels.sum(0), torch.ones(13, 9, 8))
    assert labels[0, 0, 0, 0].item() == pytest.approx(
        0.736123, abs=1e-5
    )  # 4.48169 / (4.48169 + 0.60653 + 1)


@pytest.mark.parametrize(
    ("shape", "patch", "overlap"),
    [
        ((32, 32, 32), (16, 16, 16), 0.5),
        ((16, 40, 24), (16, 16, 16), 0.5),
        ((28, 16, 16), (16, 16, 16), 0.25),
        ((10, 16, 13), (16, 16, 16), 0.5),  # smaller than the window
        ((24, 24, 5), (16, 16, 1), 0.5),
    ],
)
def test_agrees_with_monai_where_positions_meet(
    shape: tuple[int, int, int], patch: tuple[int, int, int], overlap: float
) -> None:
    net, x = convolutions(), image(*shape)
    with torch.no_grad():
        logits = sliding_window_inference(
            x[None], patch, 2, net, overlap=overlap, mode="gaussian", sigma_scale=0.125
        )
    result = exact(patch, overlap=overlap, batch_size=2)(net, x, "regions")
    assert torch.allclose(result, logits[0].sigmoid(), atol=1e-6)


def test_flips_agree_with_flipped_runs_of_monai() -> None:
    net, x = convolutions(), image(32, 16, 24)
    total = torch.zeros(3, 32, 16, 24)
    with torch.no_grad():
        for count in range(4):
            for axes in itertools.combinations((1, 2, 3), count):
                run = sliding_window_inference(
                    x.flip(axes)[None], (16, 16, 16), 1, net, overlap=0.5, mode="gaussian"
                )
                total += run[0].flip(axes)
    result = exact((16, 16, 16), tta="flips", batch_size=5)(net, x, "labels")
    assert torch.allclose(result, (total / 8).softmax(0), atol=1e-6)


def test_flips_change_nothing_for_an_equivariant_network() -> None:
    net = nn.AvgPool3d(3, 1, 1).eval()
    x = image(20, 14, 17)
    plain = exact((12, 12, 12))(net, x, "regions")
    flipped = exact((12, 12, 12), tta="flips")(net, x, "regions")
    assert torch.allclose(plain, flipped, atol=1e-6)


def test_mirrored_input_gives_mirrored_output() -> None:
    net, x = convolutions(), image(20, 24, 16)
    window = exact((12, 12, 12), tta="flips")
    there = window(net, x, "regions")
    back = window(net, x.flip((1, 3)), "regions").flip((1, 3))
    assert torch.allclose(there, back, atol=1e-6)
    plain = exact((12, 12, 12))
    assert not torch.allclose(
        plain(net, x, "regions"), plain(net, x.flip(1), "regions").flip(1), atol=1e-3
    )


def test_windows_without_brain_are_skipped_and_change_no_brain_voxel() -> None:
    x = torch.zeros(2, 48, 40, 32)
    x[:, :6, :6, :6] = image(6, 6, 6)
    x[:, 40:, 32:, 24:] = image(8, 8, 8, seed=1)
    brain = (x != 0).any(0)
    sizes: list[int] = []
    net = convolutions()
    net.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
    sparse = exact((8, 8, 8), batch_size=4)(net, x, "regions")
    visited = sum(sizes)
    everywhere = exact((8, 8, 8), batch_size=4)(net, x, "regions", torch.ones_like(brain))
    # Two windows an axis meet the cube of either corner.
    assert (visited, sum(sizes) - visited) == (16, 11 * 9 * 7)
    assert torch.allclose(sparse[:, brain], everywhere[:, brain], atol=1e-6)


def test_where_no_window_came_is_background() -> None:
    x = torch.zeros(3, 30, 30, 30)
    x[:, 10:14, 10:14, 10:14] = 1
    window = exact((6, 6, 6))
    regions = window(Constant().eval(), x, "regions")
    assert not regions[:, 20:].any()
    labels = window(Constant().eval(), x, "labels")
    assert torch.equal(labels[0, 20:], torch.ones(10, 30, 30))
    assert not labels[1:, 20:].any()
    assert torch.allclose(labels.sum(0), torch.ones(30, 30, 30))


def test_room_around_a_small_brain_is_used_before_zeros_are_added() -> None:
    x = image(20, 20, 20)
    brain = torch.zeros(20, 20, 20, dtype=torch.bool)
    brain[8:12, 0:4, 17:20] = True
    net = convolutions()
    result = exact((16, 16, 16))(net, x, "regions", brain=brain)
    with torch.no_grad():
        expected = net(x[None, :, 2:18, 0:16, 4:20])[0].sigmoid()
    assert torch.allclose(result[:, 2:18, 0:16, 4:20], expected, atol=1e-6)


def test_slices_run_through_a_two_dimensional_network_in_batches() -> None:
    class Slices(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.sizes = nn.Conv2d(2, 3, 3, padding=1), []

        def forward(self, x: Tensor) -> Tensor:
            self.sizes.append(len(x))
            return self.conv(x.squeeze(-1)).unsqueeze(-1)

    net, x = Slices().eval(), image(24, 24, 10)
    result = exact((24, 24, 1), batch_size=4)(net, x, "labels")
    with torch.no_grad():
        expected = torch.stack([net.conv(x[None, ..., z])[0] for z in range(10)], -1)
    assert torch.allclose(result, expected.softmax(0), atol=1e-6)
    assert net.sizes == [4, 4, 2]
    net.sizes.clear()
    exact((24, 24, 1), tta="flips", batch_size=10)(net, x, "labels")
    assert net.sizes == [10] * 4  # 10 slices, 4 mirror images
