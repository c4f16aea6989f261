"""Networks of the recipes, layer by layer: parameters worked out by hand."""

import itertools
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from recipe_parts import NAMES, composed

from lightning_brats.assembly import network_config
from lightning_brats.data.phantom.layouts import LAYOUTS
from lightning_brats.labels import MODALITIES, SCHEMES
from lightning_brats.parts import build


def conv(inputs: int, outputs: int, dims: int, kernel: int = 3) -> int:
    """Weights and biases of a convolution."""
    return inputs * outputs * kernel**dims + outputs


def up(inputs: int, outputs: int, dims: int) -> int:
    """Of a transposed convolution of 2 with a stride of 2."""
    return inputs * outputs * 2**dims + outputs


def norm(channels: int) -> int:
    """Scale and shift."""
    return 2 * channels


def flat_unet(*widths: int, inputs: int, outputs: int, dims: int, normed: bool) -> int:
    """Two convolutions a stage, going down and, behind each skip, up again."""
    total = conv(widths[0], outputs, dims, 1)
    for before, width in zip((inputs, *widths), widths, strict=False):
        total += conv(before, width, dims) + conv(width, width, dims) + normed * 2 * norm(width)
    for fine, coarse in itertools.pairwise(widths):
        total += up(coarse, fine, dims)
        total += conv(2 * fine, fine, dims) + conv(fine, fine, dims) + normed * 2 * norm(fine)
    return total


def shortcuts(*widths: int, inputs: int, dims: int) -> int:
    """1×1 convolutions with a norm, beside every block whose channels change: all of them."""
    total = 0
    for before, width in zip((inputs, *widths), widths, strict=False):
        total += conv(before, width, dims, 1) + norm(width)
    return total + sum(conv(2 * fine, fine, dims, 1) + norm(fine) for fine in widths[:-1])


def gates(*widths: int) -> int:
    """Skip (no bias) and coarse signal to half of the skip's channels, these to one weight."""
    return sum(
        fine * (fine // 2) + coarse * (fine // 2) + fine // 2 + fine // 2 + 1
        for fine, coarse in itertools.pairwise(widths)
    )


SLICES = (64, 128, 256, 512, 1024)
COUNTS = {
    # Four modalities, three regions.
    "pipeline_guide": flat_unet(32, 64, 128, 256, inputs=4, outputs=3, dims=3, normed=True),
    # Four modalities, background and four classes: 4·64·27 + 64, then 64·5·8 + 5.
    "brats2024_fcnn": 6_976 + 2_565,
    "brats2024_unet": (
        (4 * 32 * 27 + 32)
        + (32 * 64 * 27 + 64)
        + (64 * 128 * 27 + 128)
        + (128 * 128 * 27 + 128)
        + (128 * 64 * 8 + 64)
        + (64 * 64 * 27 + 64)
        + (64 * 5 * 8 + 5)
    ),
    "brats2024_residual_unet": (
        flat_unet(32, 64, 128, 256, inputs=4, outputs=5, dims=3, normed=True)
        + shortcuts(32, 64, 128, 256, inputs=4, dims=3)
    ),
    # Four modalities, background and three classes.
    "brats2020_slices": flat_unet(*SLICES, inputs=4, outputs=4, dims=2, normed=False),
    "msd_unet2d": flat_unet(*SLICES, inputs=4, outputs=4, dims=2, normed=True),
    "msd_attention_unet2d": (
        flat_unet(*SLICES, inputs=4, outputs=4, dims=2, normed=True) + gates(*SLICES)
    ),
    "msd_residual_unet2d": (
        flat_unet(*SLICES, inputs=4, outputs=4, dims=2, normed=True)
        + shortcuts(*SLICES, inputs=4, dims=2)
    ),
    # Three modalities, background and three classes. Down: 8,240 + 41,536 + 166,016 + 663,808 +
    # 2,654,720; up: 1,589,632 + 397,504 + 99,424 + 24,880; 1×1: 16·4 + 4.
    "brats2020_unet3d_144": 3_534_320 + 2_111_440 + 68,
    # nnU-Net's 31,196,675 for three outputs, of which 32·3 + 3 are the head's; then a head on each
    # of the five grids of the decoder.
    "nnunet_like": 31_196_675 - 99 + 4 * (33 + 65 + 129 + 257 + 321),
    "best": 31_196_675 - 99 + 3 * (33 + 65 + 129 + 257 + 321),
    "best_postop": 31_196_675 - 99 + 4 * (33 + 65 + 129 + 257 + 321),
}


def parameters(name: str) -> int:
    cfg = composed(name)
    scheme = SCHEMES[LAYOUTS[cfg.data.phantom.layout].scheme]
    source: Any = SimpleNamespace(modalities=cfg.data.modalities or MODALITIES, scheme=scheme)
    with torch.device("meta"):
        net = build(network_config(cfg, source))
    return sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_parameters_at_full_size(name: str) -> None:
    assert parameters(f"full/{name}") == COUNTS[name]


def test_known_totals() -> None:
    """Of the 3-D U-Net that many tutorials on BraTS share, and of the first U-Net, one to one."""
    assert COUNTS["brats2020_unet3d_144"] == 5_645_828
    assert COUNTS["brats2024_unet"] == 901_477
    assert flat_unet(*SLICES, inputs=1, outputs=1, dims=2, normed=False) == 31_030_593


@pytest.mark.parametrize("name", ["brats2024_fcnn", "brats2024_unet", "brats2020_unet3d_144"])
def test_networks_that_are_not_scaled_down(name: str) -> None:
    assert parameters(name) == COUNTS[name]
