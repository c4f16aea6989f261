"""What a training shows while it runs."""

from __future__ import annotations

import math
import sys
import time
from typing import Any

import pytorch_lightning as pl
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from lightning_brats.callbacks.pace import Pace
from lightning_brats.clock import seconds_left, share_done

NOTABLE_WAIT = 0.05
"""Share of the training time that is worth a remark, if it makes up a second."""


class TrainingProgress(pl.Callback):
    """One bar over the whole training with the time left; plain lines where nobody watches.

    Args:
        pace: Measures the epochs; stands before this one among the trainer's callbacks.
    """

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self._bar: Progress | None = None
        self._started = 0.0
        self._first_step = 0
        self._shown = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar."""
        self._started, self._first_step = time.perf_counter(), trainer.global_step
        if trainer.is_global_zero and sys.stdout.isatty():
            self._bar = Progress(
                TextColumn("training"),
                BarColumn(),
                TextColumn("{task.fields[step]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                TextColumn("{task.description}"),
            )
            self._bar.add_task("", total=1, **self._done(trainer))
            self._bar.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *args: Any
    ) -> None:
        """Move the bar; the loss is read once a second, so that no step waits for it."""
        if self._bar is None or time.perf_counter() - self._shown < 1:
            return
        self._shown = time.perf_counter()
        text = _line(trainer, float(outputs["loss"])) + self._waiting()
        self._bar.update(self._bar.task_ids[0], description=text, **self._done(trainer))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A line an epoch, with the time left."""
        loss = float(trainer.callback_metrics["train/loss"])  # on every rank, as above
        if not trainer.is_global_zero or self._bar is not None:
            return
        left, timed = self._left(trainer)
        print(
            f"  {_epoch(trainer, timed)}  {_step(trainer, timed)}  "
            f"{_line(trainer, loss)}  left {left / 60:.1f} min{self._waiting()}",
            flush=True,
        )

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar."""
        self._close()

    def on_exception(self, trainer: pl.Trainer, *args: Any) -> None:
        """Close the bar, so that the message stands below it."""
        self._close()

    def _done(self, trainer: pl.Trainer) -> dict[str, Any]:
        """The bar's length and the number beside it."""
        share = share_done(trainer, trainer.estimated_stepping_batches)
        return {"completed": share, "step": _step(trainer, self._left(trainer)[1])}

    def _left(self, trainer: pl.Trainer) -> tuple[float, bool]:
        """Seconds until the training ends, and whether it is the time that ends it."""
        made = trainer.global_step - self._first_step
        missing = int(trainer.estimated_stepping_batches) - trainer.global_step
        spent = time.perf_counter() - self._started
        by_steps = spent / made * missing if made else math.inf
        by_clock = seconds_left(trainer)
        if by_clock is None or by_clock > by_steps:
            return by_steps, False
        return by_clock, True

    def _waiting(self) -> str:
        """What the last epoch waited for data, where that is worth a remark."""
        share = self.pace.epoch.get("wait_share", 0.0)
        if share < NOTABLE_WAIT or share * self.pace.epoch["seconds"] < 1:
            return ""
        return f"  waited {share:.0%} for data (more queue.workers, or a lighter augmentation)"

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _epoch(trainer: pl.Trainer, timed: bool) -> str:
    """The epoch, of how many where their number is the limit."""
    limited = not timed and trainer.max_steps == -1
    return f"epoch {trainer.current_epoch + 1:>3}" + (f"/{trainer.max_epochs}" if limited else "")


def _step(trainer: pl.Trainer, timed: bool) -> str:
    """The step, of how many where that is known."""
    total = "" if timed else f"/{int(trainer.estimated_stepping_batches)}"
    return f"step {trainer.global_step}{total}"


def _line(trainer: pl.Trainer, loss: float) -> str:
    dice = trainer.callback_metrics.get("val/dice_mean")
    return f"loss {loss:.3f}" + ("" if dice is None else f"  val Dice {float(dice):.3f}")
