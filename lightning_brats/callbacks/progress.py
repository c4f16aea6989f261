"""What a training shows while it runs."""

from __future__ import annotations

import sys
import time
from typing import Any

import pytorch_lightning as pl
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from lightning_brats.callbacks.pace import Pace

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
                TextColumn("step {task.completed:.0f}/{task.total:.0f}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                TextColumn("{task.description}"),
            )
            total = int(trainer.estimated_stepping_batches)
            self._bar.add_task("", total=total, completed=trainer.global_step)
            self._bar.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *args: Any
    ) -> None:
        """Move the bar; the loss is read once a second, so that no step waits for it."""
        if self._bar is None or time.perf_counter() - self._shown < 1:
            return
        self._shown = time.perf_counter()
        text = _line(trainer, float(outputs["loss"])) + self._waiting()
        self._bar.update(self._bar.task_ids[0], completed=trainer.global_step, description=text)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A line an epoch, with the time left."""
        loss = float(trainer.callback_metrics["train/loss"])  # on every rank, as above
        if not trainer.is_global_zero or self._bar is not None:
            return
        total, done = int(trainer.estimated_stepping_batches), trainer.global_step
        spent = time.perf_counter() - self._started
        left = spent / max(done - self._first_step, 1) * (total - done)
        epochs = trainer.max_epochs
        print(
            f"  epoch {trainer.current_epoch + 1:>3}/{epochs}  step {done}/{total}  "
            f"{_line(trainer, loss)}  left {left / 60:.1f} min{self._waiting()}",
            flush=True,
        )

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar."""
        self._close()

    def on_exception(self, trainer: pl.Trainer, *args: Any) -> None:
        """Close the bar, so that the message stands below it."""
        self._close()

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


def _line(trainer: pl.Trainer, loss: float) -> str:
    dice = trainer.callback_metrics.get("val/dice_mean")
    return f"loss {loss:.3f}" + ("" if dice is None else f"  val Dice {float(dice):.3f}")
