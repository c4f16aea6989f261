"""A made-up head, a network, and the three predictors that `inference.py` compares.

Shapes: `C` modalities, `K` regions, `X Y Z` space.
"""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import torch
from monai.inferers import sliding_window_inference
from monai.networks.nets import DynUNet
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_brats.inference import SlidingWindow
from lightning_brats.models import UNet

Method = Callable[[Path], None]
NORM = ("INSTANCE", {"affine": True})
ACT = ("leakyrelu", {"inplace": True, "negative_slope": 0.01})
AXES = [axes for n in range(4) for axes in itertools.combinations((-3, -2, -1), n)]


def ellipsoid(shape: Sequence[int], centre: Sequence[float], radii: Sequence[float]) -> Tensor:
    """Mask (X, Y, Z); centre and radii as shares of half the volume."""
    grid = torch.meshgrid(*(torch.linspace(-1, 1, size) for size in shape), indexing="ij")
    return sum(((g - c) / r) ** 2 for g, c, r in zip(grid, centre, radii, strict=True)) < 1


def head(shape: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Image (4, X, Y, Z), brain (X, Y, Z) and tumour regions (3, X, Y, Z)."""
    brain = ellipsoid(shape, (0, 0, 0), (0.58, 0.73, 0.9))
    regions = torch.stack(
        [ellipsoid(shape, (0.2, 0.2, 0.1), (r, r, 1.5 * r)) for r in (0.25, 0.16, 0.1)]
    )
    texture = F.avg_pool3d(torch.randn(1, 4, *shape), 7, 1, 3)[0] * 9 + 0.5 * torch.randn(4, *shape)
    contrast = torch.tensor([[0.0, 0.5, 1.0], [0.0, -0.5, 2.0], [1.0, 1.0, 0.0], [2.0, 0.0, 0.5]])
    image = texture + torch.einsum("cr,rxyz->cxyz", contrast, regions.float())
    return image * brain, brain, regions


def trained(net: nn.Module, shape: Sequence[int], steps: int) -> nn.Module:
    """A few steps of training, so that probabilities are not all about a half."""
    image, _, regions = head(shape)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    for _ in range(steps):
        corners = torch.rand(2, 3) * (torch.tensor(shape) - 32)
        cuts = [(slice(None), *(slice(int(c), int(c) + 32) for c in corner)) for corner in corners]
        logits = net(torch.stack([image[cut] for cut in cuts]))
        target = torch.stack([regions[cut] for cut in cuts]).float()
        loss = F.binary_cross_entropy_with_logits(logits, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net.eval()


def network(name: str) -> nn.Module:
    """Four stages of 16 to 128 channels, for four modalities and three regions."""
    if name == "unet":
        return UNet(4, 3, size="small")
    strides = (1, 2, 2, 2)
    return DynUNet(
        3, 4, 3, (3,) * 4, strides, strides[1:], (16, 32, 64, 128), norm_name=NORM, act_name=ACT
    )


class Autocast(nn.Module):
    """A network in bfloat16 whose logits come as float32: for peers that leave it to the caller."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        with torch.autocast("cpu", torch.bfloat16):
            return self.net(x).float()


def loaded(folder: Path, threads: int) -> tuple[nn.Module, Tensor]:
    """The network and the volume that all share."""
    torch.set_num_threads(threads)
    stored = torch.load(folder / "net.pt", weights_only=True)
    net = network(stored["name"])
    net.load_state_dict(stored["weights"])
    return net.eval(), torch.load(folder / "image.pt", weights_only=True)


def ours(folder: Path, patch: Sequence[int], flips: bool, precision: str, threads: int) -> Method:
    """The suite's sliding window."""
    net, image = loaded(folder, threads)
    window = SlidingWindow(patch, tta="flips" if flips else "none", precision=precision)
    return lambda path: torch.save(window(net, image, "regions"), path)


def monai(folder: Path, patch: Sequence[int], flips: bool, precision: str, threads: int) -> Method:
    """MONAI's sliding window; flips inside the window, as nnU-Net does them."""
    net, image = loaded(folder, threads)
    net = Autocast(net) if precision == "bf16" else net

    def predict(window: Tensor) -> Tensor:
        return sum(net(window.flip(a)).flip(a) for a in AXES) / len(AXES) if flips else net(window)

    @torch.inference_mode()
    def run(path: Path) -> None:
        out = sliding_window_inference(image[None], patch, 1, predict, 0.5, mode="gaussian")
        torch.save(out[0].sigmoid(), path)

    return run


def nnunet(folder: Path, patch: Sequence[int], flips: bool, precision: str, threads: int) -> Method:
    """nnU-Net's predictor around our network."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    net, image = loaded(folder, threads)
    predictor = nnUNetPredictor(
        0.5,
        use_mirroring=flips,
        perform_everything_on_device=False,
        device=torch.device("cpu"),
        allow_tqdm=False,
    )
    predictor.network = Autocast(net) if precision == "bf16" else net
    predictor.allowed_mirroring_axes = (0, 1, 2)
    predictor.configuration_manager = SimpleNamespace(patch_size=list(patch))
    predictor.label_manager = SimpleNamespace(num_segmentation_heads=3)

    def run(path: Path) -> None:
        logits = predictor.predict_sliding_window_return_logits(image)
        torch.save(logits.float().sigmoid(), path)

    return run


METHODS = {"ours": ours, "MONAI": monai, "nnU-Net": nnunet}


def has_nnunet() -> bool:
    """Is it installed?"""
    return importlib.util.find_spec("nnunetv2") is not None
