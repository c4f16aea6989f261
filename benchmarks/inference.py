"""Whole-volume prediction beside MONAI's, and nnU-Net's where it is installed.

    python benchmarks/inference.py            # 240×240×155, windows of 128³: minutes on two cores
    python benchmarks/inference.py --quick    # half the edge: an eighth of the work

All run one network with the same window, overlap, weights and flips, in one process with the same
threads. The volume is a made-up skull-stripped head: an ellipsoid of texture with a nested tumour,
zeros around it. It is predicted twice. Whole, as it comes from its files, our windows lie on the
brain's box and theirs everywhere; the results differ as the windows do. Cut to the box, as our and
nnU-Net's preprocessing leave it, all windows are the same, and so must be the results: the last
line compares this.

Shapes: `C` modalities, `K` regions, `X Y Z` space.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import torch
from monai.inferers import sliding_window_inference
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_brats.inference import SlidingWindow
from lightning_brats.inference.grid import brain_box
from lightning_brats.models import UNet

Method = Callable[[Tensor], Tensor]
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


def monai_method(net: nn.Module, patch: Sequence[int], flips: bool) -> Method:
    """MONAI's sliding window; flips inside the window, as nnU-Net does them."""

    def predict(window: Tensor) -> Tensor:
        return sum(net(window.flip(a)).flip(a) for a in AXES) / len(AXES) if flips else net(window)

    @torch.inference_mode()
    def run(image: Tensor) -> Tensor:
        out = sliding_window_inference(image[None], patch, 1, predict, 0.5, mode="gaussian")
        return out[0].sigmoid()

    return run


def nnunet_method(net: nn.Module, patch: Sequence[int], flips: bool) -> Method | None:
    """nnU-Net's predictor around our network, or `None` where it is not installed."""
    try:
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    except ImportError:
        return None
    predictor = nnUNetPredictor(
        0.5, use_mirroring=flips, device=torch.device("cpu"), allow_tqdm=False
    )
    predictor.network = net
    predictor.allowed_mirroring_axes = (0, 1, 2)
    predictor.configuration_manager = SimpleNamespace(patch_size=list(patch))
    predictor.label_manager = SimpleNamespace(num_segmentation_heads=3)

    def run(image: Tensor) -> Tensor:
        return predictor.predict_sliding_window_return_logits(image).float().sigmoid()

    return run


def ours(net: nn.Module, patch: Sequence[int], flips: bool, precision: str) -> Method:
    """The suite's sliding window."""
    window = SlidingWindow(patch, tta="flips" if flips else "none", precision=precision)
    return lambda image: window(net, image, "regions")


def clock(method: Method, image: Tensor, repeats: int) -> tuple[float, Tensor]:
    """Best time in seconds, and the result."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = method(image)
        times.append(time.perf_counter() - start)
    return min(times), result


def main() -> None:
    """Run all and print a table; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="half the edge")
    parser.add_argument("--flips", action="store_true", help="average over 8 mirror images")
    parser.add_argument("--repeats", type=int, default=1, help="the best time of so many counts")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    shape, patch = ((120, 120, 78), (64,) * 3) if args.quick else ((240, 240, 155), (128,) * 3)
    net = trained(UNet(4, 3, size="small"), (120, 120, 78), 20)
    image, brain, _ = head(shape)
    box = brain_box(brain, patch)
    methods = {
        "MONAI": monai_method(net, patch, args.flips),
        "nnU-Net": nnunet_method(net, patch, args.flips),
        "ours, float32": ours(net, patch, args.flips, "32"),
        "ours": ours(net, patch, args.flips, "auto"),
    }
    print(f"{args.threads} threads, volume {shape}, windows {patch}, flips {args.flips}")
    print(f"{'':16}{'seconds':>9}{'speed':>8}{'mean |Δp|':>12}{'max |Δp|':>10}")
    for method in filter(None, methods.values()):
        method(image[:, *(slice(size) for size in patch)])  # warm up
    for title, part, within in (
        ("whole volume", image, brain),
        ("brain box", image[:, *box], brain[box]),
    ):
        print(title)
        found = {
            name: clock(method, part, args.repeats) for name, method in methods.items() if method
        }
        peer_seconds, peer = found["MONAI"]
        for name, (seconds, p) in found.items():
            gap = (p - peer)[:, within].abs()
            print(
                f"  {name:14}{seconds:9.2f}{peer_seconds / seconds:7.2f}×"
                f"{gap.mean():12.2e}{gap.max():10.1e}"
            )
    record = {
        "benchmark": "inference",
        "ours": round(found["ours"][0], 3),
        "peer": round(peer_seconds, 3),
        "ratio": round(peer_seconds / found["ours"][0], 2),
        "unit": "s/volume",
        "mean_difference": float(gap.mean()),
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
