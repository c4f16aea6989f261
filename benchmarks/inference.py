"""Whole-volume prediction beside MONAI's sliding window and nnU-Net's predictor.

    python benchmarks/inference.py            # 240×240×155, windows of 128³: half an hour
    python benchmarks/inference.py --quick    # half the edge: an eighth of the work
    python benchmarks/inference.py --weights  # no times: beside nnU-Net, with its Gaussian weights

All run one network with the same window, overlap, weights and flips, each in a process of its own
with the same threads, in turn; medians are compared. The network is MONAI's DynUNet, nnU-Net's
architecture in torch's own layers (`--network unet`: ours, whose layers are faster on CPUs for all
three). Each runs in float32 and, where the processor computes it, in bfloat16. nnU-Net's predictor
has no bfloat16 on CPUs, MONAI leaves precision to its caller: for both the network is wrapped in
autocast here, so that a line compares like with like.

The volume is a made-up skull-stripped head: an ellipsoid of texture with a nested tumour, zeros
around it. It is predicted twice. Whole, as it comes from its files: ours visits the brain's box,
theirs visit everything, and results differ where windows do. Cut to the box, as our and nnU-Net's
preprocessing leave it: all windows are the same, and so must be the results. nnU-Net's Gaussian
weights are centred half a voxel off a window's middle; `--weights` shows that nothing else differs.

Shapes: `C` modalities, `K` regions, `X Y Z` space.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from _alone import Cost, measure
from _predictors import METHODS, has_nnunet, head, network, nnunet, ours, trained
from torch import Tensor, nn

from lightning_brats.inference import window as window_module
from lightning_brats.inference.grid import brain_box
from lightning_brats.inference.precision import compute_type

STEPS = 400
"""Of training: enough that probabilities are as decided as a trained network's."""
LARGEST_DIFFERENCE = 1e-3
"""Mean |Δp| to MONAI on the brain's box above which results would not be the same."""


def compare(
    title: str,
    image: Tensor,
    brain: Tensor,
    precisions: Sequence[str],
    net: nn.Module,
    args: argparse.Namespace,
) -> dict[tuple[str, str], tuple[Cost, Tensor]]:
    """Measure everybody on one volume and print a table.

    Returns:
        (Name, precision) → cost, and probabilities (K, X, Y, Z).
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stored = {"name": args.network, "weights": net.state_dict()}
        torch.save(stored, folder / "net.pt")
        torch.save(image.contiguous(), folder / "image.pt")
        peers = {k: v for k, v in METHODS.items() if k != "nnU-Net" or has_nnunet()}
        found = {}
        for precision in precisions:
            given = (folder, args.patch, args.flips, precision, args.threads)
            outputs = {peer: folder / f"{peer}.pt" for peer in peers}
            costs = measure(
                {peer: (factory, given) for peer, factory in peers.items()},
                {peer: (path,) for peer, path in outputs.items()},
                args.repeats,
            )
            for peer, path in outputs.items():
                found[peer, precision] = costs[peer], torch.load(path, weights_only=True)
    print(f"{title}, {'×'.join(map(str, brain.shape))}")
    print(f"  {'':16}{'median s':>10}{'memory MiB':>12}{'mean |Δp|':>12}{'max |Δp|':>10}")
    for (peer, precision), (cost, p) in found.items():
        gap = difference(p, found["ours", precision][1], brain)
        figures = f"{cost.median:10.2f}{cost.peak_mb:12.0f}{gap.mean():12.1e}{gap.max():10.1e}"
        print(f"  {peer + ', ' + precision:16}{figures}")
    return found


def difference(first: Tensor, second: Tensor, brain: Tensor) -> Tensor:
    """|Δp| of the brain's voxels."""
    return (first - second)[:, brain].abs()


def with_their_weights(
    image: Tensor, brain: Tensor, net: nn.Module, args: argparse.Namespace
) -> None:
    """Print the difference to nnU-Net in float32, with our Gaussian weights and with its own."""
    from nnunetv2.inference.sliding_window_prediction import compute_gaussian

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.save({"name": args.network, "weights": net.state_dict()}, folder / "net.pt")
        torch.save(image.contiguous(), folder / "image.pt")
        given = (folder, args.patch, args.flips, "32", args.threads)
        nnunet(*given)(folder / "theirs.pt")
        theirs = torch.load(folder / "theirs.pt", weights_only=True)
        for weights in ("our", "nnU-Net's"):
            if weights == "nnU-Net's":
                window_module.gaussian_weights = lambda patch: compute_gaussian(
                    tuple(patch), value_scaling_factor=10, dtype=torch.float32
                )
            ours(*given)(folder / "ours.pt")
            gap = difference(torch.load(folder / "ours.pt", weights_only=True), theirs, brain)
            print(f"{weights} weights: mean |Δp| {gap.mean():.1e}, largest {gap.max():.1e}")


def record(title: str, found: Mapping[tuple[str, str], tuple[Cost, Tensor]], brain: Tensor) -> None:
    """Print a line of JSON for each peer and precision."""
    for (peer, precision), (cost, p) in found.items():
        if peer == "ours":
            continue
        own, q = found["ours", precision]
        line = {
            "benchmark": f"inference: {title}, both {precision}, beside {peer}",
            "ours": round(own.median, 2),
            "peer": round(cost.median, 2),
            "ratio": round(cost.median / own.median, 2),
            "unit": "s/volume",
            "ours_mib": round(own.peak_mb),
            "peer_mib": round(cost.peak_mb),
            "mean_difference": float(difference(p, q, brain).mean()),
        }
        print(json.dumps(line))


def main() -> None:
    """Run all and print the tables; then a JSON line a comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="half the edge")
    parser.add_argument("--weights", action="store_true", help="results only, with either Gaussian")
    parser.add_argument("--network", choices=("dynunet", "unet"), default="dynunet")
    parser.add_argument("--flips", action="store_true", help="average over 8 mirror images")
    parser.add_argument("--repeats", type=int, default=3, help="the median of so many counts")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    args.patch = (64,) * 3 if args.quick else (128,) * 3
    net = trained(network(args.network), (120, 120, 78), STEPS)
    image, brain, _ = head((120, 120, 78) if args.quick else (240, 240, 155))
    box = brain_box(brain, args.patch)
    if args.weights:
        with_their_weights(image[:, *box], brain[box], net, args)
        return
    native = compute_type("auto", torch.device("cpu")) == torch.bfloat16
    precisions = ["32", "bf16"] if native else ["32"]
    peers = ["monai", "nnunetv2"] if has_nnunet() else ["monai"]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in peers)
    print(
        f"{args.network}, {args.threads} threads, windows {args.patch}, flips {args.flips}; "
        f"{versions}"
    )
    if not native:
        print("bfloat16 left out: this processor only emulates it")
    parts = {"whole volume": (image, brain), "brain box": (image[:, *box], brain[box])}
    found = {title: compare(title, *part, precisions, net, args) for title, part in parts.items()}
    for title, results in found.items():
        record(title, results, parts[title][1])
    for precision in precisions:
        (_, p), (_, q) = (found["brain box"][name, precision] for name in ("ours", "MONAI"))
        gap = difference(p, q, brain[box]).mean()
        if gap > LARGEST_DIFFERENCE:
            raise SystemExit(f"ours and MONAI's {precision} differ by {gap:.1e} in probability")


if __name__ == "__main__":
    main()
