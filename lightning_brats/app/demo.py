"""The first network, where there is none yet: a small one, trained on the digital phantom."""

from __future__ import annotations

import atexit
import csv
import os
import subprocess
import sys
import time
from pathlib import Path

EPOCHS = 12
MINUTES = 2
"""That it takes on two slow cores, the phantom included."""
OVERRIDES = (
    "name=demo",
    "model=unet",
    "model.size=tiny",
    "data.phantom.cases=12",
    "data.phantom.spacing=4",
    "queue.patch_size=[32,32,32]",
    "queue.patches_per_volume=6",
    f"trainer.max_epochs={EPOCHS}",
    "trainer.check_val_every_n_epoch=4",
    "tracking=none",
)
MODULE = "lightning_brats.sweeps.trial"
"""Runs one experiment, from wherever the package is installed."""
STARTING = 0.1
"""Share of the time before the first epoch."""


class Demo:
    """A training in a process of its own; there is one of all sessions.

    Args:
        runs: Folder that the run goes to.
    """

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self.log = runs / "demo.log"
        self.began = 0.0
        self._process: subprocess.Popen | None = None
        atexit.register(self.stop)

    def start(self) -> None:
        """Begin, unless it is under way."""
        if self.is_running:
            return
        self.runs.mkdir(parents=True, exist_ok=True)
        self.began = time.time()
        kept = {k: v for k, v in os.environ.items() if k != "LIGHTNING_BRATS_RUN"}
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", MODULE, *OVERRIDES, f"runs={self.runs}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=kept,
            )

    @property
    def is_running(self) -> bool:
        """Whether it is under way."""
        return self._process is not None and self._process.poll() is None

    @property
    def problem(self) -> str:
        """The last lines it printed, where it failed."""
        if self._process is None or self._process.poll() in (None, 0):
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-6:])

    @property
    def share(self) -> float:
        """Of the training that is done, 0 to 1."""
        tables = [
            path
            for path in (self.runs / "demo").glob("*/metrics.csv")
            if path.stat().st_mtime >= self.began
        ]
        epochs = 0
        for path in tables:
            with path.open(newline="") as file:
                epochs = max(epochs, sum(1 for _ in csv.DictReader(file)))
        return min(1.0, STARTING + (1 - STARTING) * epochs / (EPOCHS + 1))

    def stop(self) -> None:
        """End it."""
        if self.is_running:
            assert self._process is not None
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
