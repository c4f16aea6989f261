"""Patches a second of the training queue beside TorchIO's and nnU-Net's, on the same cases.

    python benchmarks/patch_queue.py                          # no augmentation, beside TorchIO
    python benchmarks/patch_queue.py --augmentation standard  # beside nnU-Net, its own full set
    python benchmarks/patch_queue.py --augmentation full      # beside TorchIO, the same transforms
    python benchmarks/patch_queue.py --memory                 # of all processes, over 50 epochs
    python benchmarks/patch_queue.py --wait                   # of a trainer on this machine
    …  --quick                                                # small cases: to see that it runs

Every loader runs in a process of its own with its own workers, and gives batches of two patches of
128³ voxels with 4 channels. Turns alternate. A turn warms up, so that nothing that was prepared
ahead counts, then takes patches for a while; the median over the turns is shown. Eight phantom
cases of 240×240×155; the files are in the page cache for all.

Not named after the module: as `queue.py` in a script's folder it would stand before Python's own.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from _loaders import BUILDERS, Task, our_data, prepare

from lightning_brats import experiment

PEERS: dict[str, dict[str, tuple[str, tuple]]] = {
    "none": {
        "TorchIO, 4 patches a volume": ("torchio", (4,)),
        "TorchIO, 1 patch a volume": ("torchio", (1,)),
    },
    "standard": {"nnU-Net": ("nnunet", ())},
    "full": {"TorchIO, 4 patches a volume": ("torchio", (4,))},
}


def turn(name: str, task: Task, extra: tuple, warm_up: float, seconds: float) -> float:
    """Patches a second of one loader; to be run in a process of its own."""
    torch.set_num_threads(1)
    batches, cycle = BUILDERS[name](task, *extra)
    _take(batches, cycle, warm_up)
    patches, taken = _take(batches, cycle, seconds)
    del batches  # with its workers, some of which complain when the process ends first
    gc.collect()
    return patches / taken


def _take(batches: Iterator[Any], cycle: int, seconds: float) -> tuple[int, float]:
    """Take whole cycles for at least so long; patches and seconds."""
    started, patches = time.perf_counter(), 0
    while time.perf_counter() - started < seconds or patches % cycle:
        patches += len(_images(next(batches)))
    return patches, time.perf_counter() - started


def _images(batch: Any) -> torch.Tensor:
    if "data" in batch:  # nnU-Net
        return batch["data"]
    image = batch["image"]
    return image["data"] if isinstance(image, dict) else image  # TorchIO, ours


def alone(function: Any, *arguments: Any) -> Any:
    """Call a function in a fresh process."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def compare(task: Task, args: argparse.Namespace) -> dict[str, Any]:
    """Patches a second of ours and of each peer."""
    loaders = {"ours": ("ours", ()), **PEERS[task.augmentation]}
    rates: dict[str, list[float]] = {name: [] for name in loaders}
    for repeat in range(args.repeats):
        order = list(loaders.items())
        for name, (builder, extra) in order if repeat % 2 == 0 else order[::-1]:
            rate = alone(turn, builder, task, extra, args.warm_up, args.seconds)
            rates[name].append(rate)
            print(f"  turn {repeat + 1}  {name:30}{rate:8.2f} patches/s", flush=True)
    medians = {name: statistics.median(found) for name, found in rates.items()}
    mine = medians.pop("ours")
    print(f"{'median':8} {'ours':30}{mine:8.2f} patches/s")
    for name, rate in medians.items():
        print(f"{'median':8} {name:30}{rate:8.2f} patches/s: ours is {mine / rate:.2f}× as fast")
    peer = next(iter(medians))
    return {
        "benchmark": f"patch_queue/{task.augmentation}",
        "ours": round(mine, 2),
        "peer": round(medians[peer], 2),
        "ratio": round(mine / medians[peer], 2),
        "unit": "patches/s",
        "peers": {name: round(rate, 2) for name, rate in medians.items()},
    }


def memory(task: Task, epochs: int) -> dict[str, Any]:
    """Memory of the trainer and its workers, what they share counted once, after each epoch.

    The slope is that of what they allocated (pages of libraries and of the cases' files change with
    what else runs on the machine); the largest value counts these pages too.
    """
    torch.set_num_threads(1)
    data = our_data(task)
    loader = data.train_dataloader()
    assert data.queue is not None
    ends, peak = [], 0.0
    for epoch in range(epochs):
        loader.sampler.set_epoch(epoch)
        for step, _ in enumerate(loader):
            if step % 8 == 0:
                peak = max(peak, _megabytes(data.queue.pids))
        ends.append(_megabytes(data.queue.pids, ("Pss_Anon", "Pss_Shmem")))
        if epoch % 10 == 9:
            print(f"  epoch {epoch + 1:3}  {ends[-1]:8.1f} MB", flush=True)
    data.queue.close()
    first = min(5, epochs // 2)  # libraries are loaded and the ring filled by then
    slope = float(np.polyfit(range(first, epochs), ends[first:], 1)[0])
    print(f"largest {peak:.0f} MB, slope from epoch {first + 1} on {slope:+.3f} MB an epoch")
    return {
        "benchmark": "patch_queue/memory",
        "slope": round(slope, 3),
        "unit": "MB/epoch",
        "peak_mb": round(peak),
        "patches": epochs * len(data.queue),
    }


def _megabytes(workers: list[int], kinds: Sequence[str] = ("Pss",)) -> float:
    """Proportional set size, all of it or some kinds, of this process and others."""
    found = 0
    for pid in (os.getpid(), *workers):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        sizes = (line.split() for line in lines if line.endswith("kB"))
        found += sum(int(size) for name, size, _ in sizes if name.rstrip(":") in kinds)
    return found * 1024 / 1e6


class AfterFirst(pl.Callback):
    """Sums from the end of the first step to the end of the last."""

    def __init__(self, data: Any) -> None:
        self.data = data
        self.readings: list[tuple[float, float, int]] = []

    def on_train_batch_end(self, *_: Any) -> None:
        """Read the clock."""
        found = self.data.queue.statistics
        self.readings.append((time.perf_counter(), found.waited, found.patches))


def wait(task: Task, steps: int) -> dict[str, Any]:
    """Share of the time that a default training on this machine waits for patches."""
    with tempfile.TemporaryDirectory() as runs:
        cfg = experiment.configure(
            "model=unet",
            f"augmentation={task.augmentation}",
            f"data.phantom.cases={task.cases}",
            f"data.phantom.spacing={task.spacing}",
            "tracking=none",
            "trainer.max_epochs=1",
            f"queue.patches_per_volume={2 * steps}",
            f"runs={runs}",
        )
        built = experiment.build(cfg)
        clock = AfterFirst(built.data)
        built.trainer.callbacks.insert(0, clock)
        built.trainer.limit_train_batches = steps
        experiment.fit(built)
        settings = built.cfg
    taken = [b - a for a, b in zip(clock.readings[0], clock.readings[-1], strict=True)]
    share = taken[1] / taken[0]
    print(
        f"{len(clock.readings) - 1} steps in {taken[0]:.1f} s, "
        f"{taken[2] / taken[0]:.1f} patches/s, waited {taken[1]:.2f} s: {share:.2%}"
    )
    return {
        "benchmark": "patch_queue/wait",
        "share": round(share, 5),
        "unit": "of the step time",
        "steps": len(clock.readings) - 1,
        "precision": str(settings.trainer.precision),
        "threads": int(settings.trainer.threads),
        "workers": int(settings.queue.workers),
        "patch": list(settings.queue.patch_size),
    }


def main() -> None:
    """Run one comparison; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--augmentation", choices=list(PEERS), help="default: none")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--wait", action="store_true")
    parser.add_argument("--quick", action="store_true", help="small cases, patches and times")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3, help="turns of each loader")
    parser.add_argument("--seconds", type=float, default=30, help="of each turn, at least")
    parser.add_argument("--warm-up", type=float, default=10, help="seconds before each turn")
    parser.add_argument("--epochs", type=int, default=50, help="of --memory")
    parser.add_argument("--steps", type=int, default=60, help="of --wait")
    args = parser.parse_args()
    spacing, patch = (4.0, 32) if args.quick else (1.0, 128)
    if args.quick:
        args.seconds, args.warm_up, args.repeats = 2, 1, 1
    default = "flips" if args.wait else "none"
    task = Task(8, spacing, patch, args.workers, args.augmentation or default)
    if args.memory:
        record = alone(memory, task, args.epochs)
    elif args.wait:
        record = wait(task, args.steps)
    else:
        prepare([task], "nnU-Net" in PEERS[task.augmentation])
        record = compare(task, args)
    print(json.dumps(record))


if __name__ == "__main__":
    main()
