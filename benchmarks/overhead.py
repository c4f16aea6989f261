"""What a training does besides forward, backward and optimiser, as a share of its time.

    python benchmarks/overhead.py              # `make run`'s training, 8 epochs: two minutes
    python benchmarks/overhead.py --ranks      # two ranks of one thread beside one: weak scaling

Waiting for patches, callbacks, logging, tables and checkpoints count as overhead, from the start of
training to its end; validation, which is forward passes of whole volumes, is left out of both. With
`--ranks` the same batch a rank is trained by one process and by two (DDP, gloo) of one thread each.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
from pytorch_lightning.profilers import SimpleProfiler

from lightning_brats import experiment

BAR = 0.08
SCRIPT = Path(__file__).resolve().parent.parent / "experiments" / "run.py"


class Clock(pl.Callback):
    """Reads when training begins and ends, and what validation takes."""

    def __init__(self) -> None:
        self.began = self.ended = self.validating = self._since = 0.0

    def on_train_start(self, *_: Any) -> None:
        """Begin."""
        self.began = time.perf_counter()

    def on_validation_start(self, *_: Any) -> None:
        """Stop counting."""
        self._since = time.perf_counter()

    def on_validation_end(self, *_: Any) -> None:
        """Count again."""
        self.validating += time.perf_counter() - self._since

    def on_train_end(self, *_: Any) -> None:
        """End."""
        self.ended = time.perf_counter()


def overhead(epochs: int) -> dict[str, Any]:
    """Train, and compare the time of the optimiser's steps with that of all."""
    with tempfile.TemporaryDirectory() as runs:
        cfg = experiment.configure(f"trainer.max_epochs={epochs}", "tracking=none", f"runs={runs}")
        built = experiment.build(cfg)
        profiler, clock = SimpleProfiler(), Clock()
        built.trainer.profiler = profiler
        built.trainer.callbacks.insert(0, clock)
        experiment.fit(built)
    recorded = profiler.recorded_durations.items()
    # Lightning calls forward and backward from within the optimiser's step; callbacks have names
    # like it, and take no time beside it.
    steps = max((times for name, times in recorded if "optimizer_step" in name), key=sum)
    whole = clock.ended - clock.began - clock.validating
    share = 1 - sum(steps) / whole
    print(f"{len(steps)} steps, {whole:.1f} s, of which {sum(steps):.1f} s arithmetic")
    return {
        "benchmark": "overhead",
        "ours": round(share, 4),
        "peer": BAR,
        "ratio": round(BAR / share, 2),
        "unit": "share of the training time, beside the bar",
    }


def ranks(epochs: int) -> dict[str, Any]:
    """Patches a second of one rank and of two."""
    rates = {}
    with tempfile.TemporaryDirectory() as folder:
        for count in (1, 2):
            ddp = ["trainer.devices=2", "trainer.strategy=ddp"] if count == 2 else []
            command = [
                sys.executable,
                str(SCRIPT),
                f"trainer.max_epochs={epochs}",
                f"trainer.check_val_every_n_epoch={epochs}",
                "trainer.accelerator=cpu",
                "trainer.threads=1",
                "queue.workers=0",
                "tracking=none",
                f"runs={folder}/{count}",
                *ddp,
            ]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            table = next((Path(folder) / str(count)).rglob("metrics.csv"))
            rates[count] = float(pd.read_csv(table)["patches_per_second"].iloc[1:-1].median())
    return {
        "benchmark": "overhead/ranks",
        "ours": round(rates[2], 3),
        "peer": round(2 * rates[1], 3),
        "ratio": round(rates[2] / rates[1] / 2, 3),
        "unit": "patches/s of two ranks, beside twice one rank's",
    }


def main() -> None:
    """Print a JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ranks", action="store_true")
    parser.add_argument("--epochs", type=int, default=8)
    args = parser.parse_args()
    print(json.dumps(ranks(args.epochs) if args.ranks else overhead(args.epochs)))


if __name__ == "__main__":
    main()
