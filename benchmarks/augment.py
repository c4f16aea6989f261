"""The `standard` augmentation beside nnU-Net's own, patch by patch on one thread.

    python benchmarks/augment.py                       # 128³ × 4 channels: about three minutes
    python benchmarks/augment.py --patch 64 --rounds 3
    python benchmarks/augment.py --device cuda         # its share of a training step

Both cut and augment patches of the same volume: nnU-Net 2.8 by the transforms (batchgeneratorsv2)
that its trainer builds, on the float32 crop that its loader hands over (a copy, not timed); ours as
the queue does it, from the half-precision volume, the warp in what the worker runs and everything
else by the code of the training device. Kinds, probabilities and ranges are the same (see
`tests/data/test_transforms_presets.py`), both set the background to zero again, and what is drawn
is random on both sides: a round is many patches, rounds alternate, and medians of rounds count.

On CUDA: the time of the device's part for a batch of two over that of a training step of
`unet size=base` in bf16 (`benchmarks/train_step.py`), batches in turn.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_module

from lightning_brats.augment import augment_
from lightning_brats.data.patches import PLAN, PatchDataset
from lightning_brats.data.sampling import PatchRequest
from lightning_brats.parts import build

CHANNELS = 4
SOURCE = 1.6
"""Edge of the volume over the patch's: nnU-Net's loader crops as much for 3-D patches."""


def volume(edge: int) -> tuple[np.ndarray, np.ndarray]:
    """A skull-stripped head with texture (C, n, n, n) fp16, and its labels (n, n, n) uint8."""
    generator = np.random.default_rng(0)
    lines = np.meshgrid(*[np.linspace(-1, 1, edge, dtype=np.float32)] * 3, indexing="ij")
    radius = sum(line**2 for line in lines)
    image = generator.standard_normal((CHANNELS, edge, edge, edge), np.float32) * (radius < 1.2)
    return image.astype(np.float16), (radius < 0.1).astype(np.uint8)


class Ours:
    """What the queue and the training device do to a patch.

    Args:
        image: (C, n, n, n) fp16.
        mask: (n, n, n) uint8.
        patch: Edge in voxels.
    """

    def __init__(self, image: np.ndarray, mask: np.ndarray, patch: int) -> None:
        case = SimpleNamespace(
            image=image,
            mask=mask,
            shape=mask.shape,
            foreground={1: np.argwhere(mask)[::97]},
            meta={"case": "benchmark"},
            folder=None,
        )
        with initialize_config_module("lightning_brats.configs", version_base="1.3"):
            chain = build(compose("run", ["augmentation=standard"]).augmentation)
        cases: Any = [case]
        self.dataset = PatchDataset(cases, (patch,) * 3, chain, on_device=True)

    def cut(self, seed: int) -> tuple[torch.Tensor, torch.Tensor, list[Any]]:
        """Image, mask and plan of a patch, as batches of one."""
        subject = self.dataset[PatchRequest(subject=0, forced=False, seed=seed)]
        return subject.image.data[None], subject.mask.data[None], [subject[PLAN]]

    def round(self, seeds: range) -> float:
        """Seconds a patch."""
        start = time.perf_counter()
        for seed in seeds:
            augment_(*self.cut(seed))
        return (time.perf_counter() - start) / len(seeds)


class Peer:
    """What nnU-Net's trainer builds for 3-D patches, without deep supervision.

    Args:
        image: (C, n, n, n) fp16.
        mask: (n, n, n) uint8.
        patch: Edge in voxels.
    """

    def __init__(self, image: np.ndarray, mask: np.ndarray, patch: int) -> None:
        from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

        angle = 30 / 360 * 2 * np.pi
        self.transforms = nnUNetTrainer.get_training_transforms(
            (patch,) * 3,
            rotation_for_DA=(-angle, angle),
            deep_supervision_scales=None,
            mirror_axes=(0, 1, 2),
            do_dummy_2d_data_aug=False,
            use_mask_for_norm=[True] * CHANNELS,
        )
        self.image = torch.from_numpy(image).float()
        labels = torch.from_numpy(mask.astype(np.int16))[None]
        self.labels = torch.where((self.image != 0).any(0), labels, -1).to(torch.int16)

    def round(self, seeds: range) -> float:
        """Seconds a patch."""
        spent = 0.0
        for seed in seeds:
            torch.manual_seed(seed)
            np.random.seed(seed)
            given = {"image": self.image.clone(), "segmentation": self.labels.clone()}
            start = time.perf_counter()
            self.transforms(**given)
            spent += time.perf_counter() - start
        return spent / len(seeds)


def on_cpu(args: argparse.Namespace) -> dict[str, Any]:
    """Patches a second of both, one thread each."""
    torch.set_num_threads(1)
    image, mask = volume(round(SOURCE * args.patch))
    contenders = {"ours": Ours(image, mask, args.patch), "peer": Peer(image, mask, args.patch)}
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(args.rounds + 1):  # the first to warm up
        order = list(contenders.items())
        for name, contender in order[:: 1 if number % 2 else -1]:
            first = number * args.samples
            found = contender.round(range(first, first + args.samples))
            if number:
                seconds[name].append(found)
    rates = {name: 1 / statistics.median(times) for name, times in seconds.items()}
    for name, rate in rates.items():
        print(f"{name:5}{rate:8.2f} patches/s")
    print(f"ratio{rates['ours'] / rates['peer']:8.2f}×")
    return {
        "benchmark": "augment",
        **{name: round(rate, 3) for name, rate in rates.items()},
        "ratio": round(rates["ours"] / rates["peer"], 2),
        "unit": "patches/s",
        "patch": args.patch,
        "samples": args.samples * args.rounds,
    }


def on_cuda(args: argparse.Namespace) -> dict[str, Any]:
    """Share of the device's part in a training step of `unet size=base`."""
    import train_step

    device = torch.device("cuda")
    cutter = Ours(*volume(round(SOURCE * args.patch)), args.patch)
    batches = []
    for number in range(args.samples):
        image, mask, plans = zip(*(cutter.cut(2 * number + k) for k in range(2)), strict=True)
        moved = torch.cat(image).to(device), torch.cat(mask).to(device)
        batches.append((*moved, [plan for found in plans for plan in found]))
    target = (batches[0][1] > 0).expand(-1, train_step.REGIONS, -1, -1, -1)
    setting = train_step.Setting(device, "bf16", batches[0][0].float(), target)
    step = train_step.ours(setting, deep_supervision=False, compiled=False)
    times: dict[str, list[float]] = {"augmentation": [], "step": []}
    for number, batch in enumerate(batches):
        for name, work in (
            ("augmentation", lambda batch=batch: augment_(*batch)),
            ("step", step.step),
        ):
            start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize()
            start.record()
            work()
            stop.record()
            torch.cuda.synchronize()
            if number >= 5:  # the first choose algorithms
                times[name].append(start.elapsed_time(stop) / 1e3)
    # What is drawn differs from batch to batch, so the mean counts; a step is always the same.
    augmentation = statistics.fmean(times["augmentation"])
    training = statistics.median(times["step"])
    share = augmentation / training
    print(
        f"augmentation {1e3 * augmentation:.2f} ms of a step of {1e3 * training:.1f} ms: ", end=""
    )
    print(f"{share:.1%}")
    return {
        "benchmark": "augment_share",
        "ours": round(augmentation, 5),
        "step": round(training, 5),
        "ratio": round(share, 4),
        "unit": "s",
        "patch": args.patch,
        "device": torch.cuda.get_device_name(device),
    }


def main() -> None:
    """Measure and print; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patch", type=int, default=128, help="edge in voxels")
    parser.add_argument("--rounds", type=int, default=7, help="their median counts")
    parser.add_argument("--samples", type=int, default=40, help="patches a round; batches on CUDA")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    args = parser.parse_args()
    print(json.dumps(on_cuda(args) if args.device == "cuda" else on_cpu(args)))


if __name__ == "__main__":
    main()
