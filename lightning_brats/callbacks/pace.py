"""How fast a training goes, and whether it waits for data."""

from __future__ import annotations

import math
import time
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch

from lightning_brats.data.datamodule import BratsDataModule
from lightning_brats.data.queue import PatchQueue, QueueStatistics
from lightning_brats.energy import JOULES_PER_WATT_HOUR, joules_used


class Reading(NamedTuple):
    """Sums up to a moment, or between two.

    Args:
        seconds: Of everything.
        validating: Seconds of them that were spent on validation.
        waited: Seconds in which the trainer waited for patches.
        patches: Patches that it took.
        ready: Sum, over these, of the patches that were ready when it came.
        joules: That its GPU used; NaN where that is not reported.
    """

    seconds: float = 0.0
    validating: float = 0.0
    waited: float = 0.0
    patches: float = 0.0
    ready: float = 0.0
    joules: float = 0.0

    def minus(self, other: Reading) -> Reading:
        """What came after `other`."""
        return Reading(*(a - b for a, b in zip(self, other, strict=True)))


class Pace(pl.Callback):
    """Measures training; its values are logged every few steps, and an epoch's are in its table.

    `patches_per_second` counts all ranks' patches in the time that is not validation, `wait_share`
    is the share of that time in which a step waited for its patches (on the rank that waited
    most), `queue_fill` the mean share of the queue that was ready when a patch was taken, and
    `queue_mb` what was in flight: megabytes of ready patches and of the batches made of them.
    An epoch also has `energy_wh` of all ranks' GPUs, where they report it.
    """

    def __init__(self) -> None:
        self.epoch: dict[str, float] = {}
        """The last epoch's seconds and rates."""
        self._queue: PatchQueue | None = None
        self._validating = self._validation_began = 0.0
        self._began = self._logged = Reading()

    def state_dict(self) -> dict[str, Any]:
        """What the current epoch has taken, for a run that stops within it."""
        return {"epoch": list(self._read().minus(self._began))}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What the epoch had taken when the run stopped."""
        self._began = Reading().minus(Reading(*state_dict["epoch"]))

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock, where a run goes on within an epoch with what it had taken before."""
        data = getattr(trainer, "datamodule", None)
        self._queue = data.queue if isinstance(data, BratsDataModule) else None
        now = self._read()
        self._began = Reading(*map(sum, zip(now, self._began, strict=True)))
        self._logged = now

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._began = self._read()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the clock of the training."""
        self._validation_began = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Let it go on."""
        self._validating += time.perf_counter() - self._validation_began

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any
    ) -> None:
        """Log, as often as the trainer logs anything."""
        often = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if trainer.global_step % often or not trainer.is_global_zero:
            return
        now = self._read()
        values = self._rates(now.minus(self._logged), trainer)
        self._logged = now
        known = {f"queue/{name.removeprefix('queue_')}": value for name, value in values.items()}
        for logger in trainer.loggers:
            logger.log_metrics(known, step=trainer.global_step)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Read the clock, for the table and the progress."""
        taken = self._read().minus(self._began)
        if trainer.world_size > 1:
            waited = torch.tensor(taken.waited, device=trainer.strategy.root_device)
            longest = trainer.strategy.reduce(waited, reduce_op="max")
            joules = torch.tensor(taken.joules, device=trainer.strategy.root_device)
            total = trainer.strategy.reduce(joules, reduce_op="sum")
            taken = taken._replace(waited=float(longest), joules=float(total))
        self.epoch = {"seconds": taken.seconds, **self._rates(taken, trainer)}
        if not math.isnan(taken.joules):
            self.epoch["energy_wh"] = taken.joules / JOULES_PER_WATT_HOUR

    def _rates(self, taken: Reading, trainer: pl.Trainer) -> dict[str, float]:
        training = max(taken.seconds - taken.validating, 1e-9)
        if self._queue is None:
            return {}
        values = {
            "patches_per_second": taken.patches * trainer.world_size / training,
            "wait_share": taken.waited / training,
        }
        if self._queue.capacity and taken.patches:
            ready = taken.ready / taken.patches
            in_flight = ready * self._queue.patch_bytes + self._queue.batch_bytes
            values |= {"queue_fill": ready / self._queue.capacity, "queue_mb": in_flight / 1e6}
        return values

    def _read(self) -> Reading:
        found = self._queue.statistics if self._queue else QueueStatistics()
        joules = joules_used()
        return Reading(
            time.perf_counter(),
            self._validating,
            found.waited,
            found.patches,
            found.ready,
            math.nan if joules is None else joules,
        )
