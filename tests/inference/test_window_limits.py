"""What a sliding window does at its limits: narrow number types, short memory, wrong use."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor, nn

from lightning_brats.errors import ConfigError, DataError
from lightning_brats.inference import SlidingWindow
from lightning_brats.inference.precision import autocast, compute_type

CPU = torch.device("cpu")


class Pointwise(nn.Module):
    """Logits made of each voxel alone: whatever the windows, there is one right answer."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :2] * 2 - 0.5


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


class Broken(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, :1] * torch.nan


@pytest.mark.parametrize("precision", ["bf16", "16"])
def test_reduced_precision_stays_close(precision: str) -> None:
    net, x = convolutions(), image(12, 8, 8)
    full = exact((8, 8, 8), tta="flips")(net, x, "regions")
    reduced = SlidingWindow((8, 8, 8), tta="flips", precision=precision)(net, x, "regions")
    assert reduced.dtype == torch.float32
    assert 0 < (full - reduced).abs().mean() < 1e-3


def test_sums_of_many_windows_are_exact() -> None:
    """512 predictions of each voxel with logits up to 16, in half precision and exact in it."""

    class Half(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.half()

    x = ((image(28, 28, 28) - 0.6) * 32).half().float()
    window = SlidingWindow((12, 12, 12), overlap=0.75, tta="flips", precision="16")
    error = (window(Half().eval(), x, "regions") - x.sigmoid()).abs()
    assert error.max() < 1e-5


def test_short_memory_is_met_by_smaller_batches() -> None:
    class Hungry(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if len(x) > 1:
                raise torch.OutOfMemoryError
            return Pointwise()(x)

    x = image(20, 20, 20)
    with pytest.warns(UserWarning, match="short of memory"):
        result = exact((12, 12, 12), batch_size=4)(Hungry().eval(), x, "regions")
    assert torch.allclose(result, (2 * x - 0.5).sigmoid(), atol=1e-6)


def test_memory_that_never_suffices_is_an_error() -> None:
    class Starving(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise torch.OutOfMemoryError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(torch.OutOfMemoryError):
            exact((12, 12, 12))(Starving().eval(), image(20, 20, 20), "regions")


@pytest.mark.gpu
def test_devices_agree() -> None:
    net, x = convolutions(), image(32, 32, 32)
    here = exact((16, 16, 16))(net, x, "regions")
    there = SlidingWindow((16, 16, 16))(net.cuda(), x, "regions")
    assert there.device == x.device
    assert (here - there).abs().max() < 1e-2


def test_automatic_precision_is_float32_without_native_instructions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True}, raising=False)
    assert compute_type("auto", CPU) == torch.float32
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert compute_type("auto", CPU) == torch.bfloat16
    with autocast(torch.bfloat16, CPU):
        assert nn.Linear(2, 2)(torch.ones(1, 2)).dtype == torch.bfloat16
        with autocast(torch.float32, CPU):
            assert nn.Linear(2, 2)(torch.ones(1, 2)).dtype == torch.float32


@pytest.mark.parametrize(
    "settings",
    [
        {"patch_size": (16, 16)},
        {"patch_size": (16, 16, 0)},
        {"patch_size": (8, 8, 8), "overlap": 1.0},
        {"patch_size": (8, 8, 8), "batch_size": 0},
        {"patch_size": (8, 8, 8), "tta": "flip"},
        {"patch_size": (8, 8, 8), "precision": "half"},
    ],
)
def test_bad_settings(settings: dict) -> None:
    with pytest.raises(ConfigError):
        SlidingWindow(**settings)


def test_a_precision_read_as_a_number_is_understood() -> None:
    assert SlidingWindow((8, 8, 8), precision=32) == exact((8, 8, 8))


def test_bad_calls() -> None:
    window, net = exact((8, 8, 8)), Pointwise().eval()
    with pytest.raises(ConfigError, match="training mode"):
        window(Pointwise(), image(9, 9, 9), "regions")
    with pytest.raises(ConfigError, match="head=region"):
        window(net, image(9, 9, 9), "region")
    with pytest.raises(DataError, match="no brain"):
        window(net, torch.zeros(2, 9, 9, 9), "regions")
    with pytest.raises(DataError, match="expected"):
        window(net, image(9, 9, 9)[None], "regions")
    with pytest.raises(DataError, match="brain mask"):
        window(net, image(9, 9, 9), "regions", brain=torch.ones(9, 9, 8, dtype=torch.bool))
    with pytest.raises(DataError, match="NaN"):
        window(Broken().eval(), image(9, 9, 9), "regions")
