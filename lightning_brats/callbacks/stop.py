"""Stopping a run so that it can go on."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks.early_stopping import EarlyStoppingReason

from lightning_brats import slurm
from lightning_brats.errors import BratsError

ASKED_EVERY = 10
"""Steps between which several processes tell each other whether to stop."""
ONE_KEY = 1.0
"""Seconds within which signals are one wish: launchers pass on what their processes got too."""


class InterruptedRunError(BratsError):
    """Training was asked to stop; its state is saved."""


class SafeStop(pl.Callback):
    """Ctrl-C or SIGTERM: finish the step, save everything, say how to go on.

    Several processes stop together, within `ASKED_EVERY` steps: asking each other after every step
    would make every step wait. Another Ctrl-C, later than `ONE_KEY`, stops at once. Under SLURM,
    SIGUSR1 (`#SBATCH --signal=SIGUSR1@120`, a while before the time is up) does the same and puts
    the job back into the queue, where `resume=auto` goes on with it.

    Args:
        path: Checkpoint to write.
        how: Command that continues the run.
    """

    def __init__(self, path: Path, how: str) -> None:
        self.path, self.how = path, how
        self.asked = False
        self.requeued = False
        self._since = 0.0
        self._previous: dict[int, Any] = {}
        self._every = 1

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A run that early stopping had ended before it was killed is not trained on."""
        for callback in trainer.early_stopping_callbacks:
            if callback.stopping_reason != EarlyStoppingReason.NOT_STOPPED:
                trainer.should_stop = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take over the signals, also from Lightning, which would drop the state."""
        self._every = 1 if trainer.world_size == 1 else ASKED_EVERY
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._ask)
        if slurm.JOB in os.environ:
            self._previous[signal.SIGUSR1] = signal.signal(signal.SIGUSR1, self._ask_requeue)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Stop here, unless the epoch ends anyway: its validation would be lost."""
        last = batch_idx + 1 >= trainer.num_training_batches
        if not last and (batch_idx + 1) % self._every == 0:
            self._stop_if_asked(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop here."""
        self._stop_if_asked(trainer)

    def _stop_if_asked(self, trainer: pl.Trainer) -> None:
        """Save and stop, on all ranks together, when any of them was asked to."""
        asked = self.asked
        if trainer.world_size > 1:
            asked = trainer.strategy.reduce_boolean_decision(asked, all=False)
        if asked:
            trainer.save_checkpoint(self.path)
            requeue = self.requeued
            if trainer.world_size > 1:
                requeue = trainer.strategy.reduce_boolean_decision(requeue, all=False)
            if requeue and trainer.is_global_zero:
                slurm.requeue()
            trainer.strategy.barrier()  # a rank that has ended may take the others with it
            raise self._interruption()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Give the signals back."""
        self._restore()

    def on_exception(self, *args: Any) -> None:
        """Give the signals back."""
        self._restore()

    def _interruption(self) -> InterruptedRunError:
        """The message the user reads."""
        return InterruptedRunError(
            "stopped as asked; the state is saved", file=self.path, remedy=f"go on with: {self.how}"
        )

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            if number == signal.SIGINT and time.monotonic() - self._since > ONE_KEY:
                raise KeyboardInterrupt
            return
        self.asked, self._since = True, time.monotonic()
        print(f"\nStopping {self._when()}; press Ctrl-C again to stop at once.", file=sys.stderr)

    def _ask_requeue(self, number: int, frame: FrameType | None) -> None:
        if not self.asked:
            self._since = time.monotonic()
            print(f"\nThe job's time is nearly up: stopping {self._when()}.", file=sys.stderr)
        self.asked = self.requeued = True

    def _when(self) -> str:
        return "after this step" if self._every == 1 else f"within {self._every} steps"

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
