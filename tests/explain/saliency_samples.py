"""Networks whose explanations are known by hand, and a case to explain."""

from __future__ import annotations

import torch
from conftest import write_case
from torch import Tensor, nn

from lightning_brats.data.case import Case
from lightning_brats.data.preprocess import Preprocess
from lightning_brats.data.sources import CaseSource
from lightning_brats.inference import SlidingWindow
from lightning_brats.labels import MODALITIES
from lightning_brats.models import UNet
from lightning_brats.postprocess import Postprocess
from lightning_brats.prediction import Model, context
from lightning_brats.task import SegmentationTask

REGIONS = ("WT", "TC", "ET")


class Weighted(nn.Module):
    """Logits that are sums of the modalities, weighted by a matrix (K, C), plus a bias (K)."""

    def __init__(self, weights: list[list[float]], bias: list[float], dims: int = 3) -> None:
        super().__init__()
        conv = nn.Conv2d if dims == 2 else nn.Conv3d
        self.mix = conv(len(weights[0]), len(weights), 1)
        with torch.no_grad():
            self.mix.weight.copy_(torch.tensor(weights).view_as(self.mix.weight))
            self.mix.bias.copy_(torch.tensor(bias))

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(x)


def make_task(
    net: nn.Module, patch: tuple[int, ...] = (16, 16, 16), head: str = "regions", **window: object
) -> SegmentationTask:
    settings = SlidingWindow(patch, precision="32", **window)
    return SegmentationTask(net, head=head, regions=REGIONS, inference=settings).eval()


def make_model(tmp_path, net: nn.Module, **settings: object) -> tuple[Model, Case]:
    """A network with random or given weights, and a case with a mask."""
    case = write_case(tmp_path)
    task = make_task(net, **settings)
    task.context = context(CaseSource("x", (case,)), Preprocess())
    return Model(tmp_path / "x.ckpt", task, Preprocess(), Postprocess()), case


def unet(seed: int = 0, skip: str = "attention", dims: int = 3) -> UNet:
    torch.manual_seed(seed)
    return UNet(len(MODALITIES), 3, size="tiny", skip=skip, spatial_dims=dims)
