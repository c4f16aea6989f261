"""Stopping a run so that it can go on."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl

from lightning_brats.errors import BratsError


class InterruptedRunError(BratsError):
    """Training was asked to stop; its state is saved."""


class SafeStop(pl.Callback):
    """Ctrl-C or SIGTERM: finish the step, save everything, say how to go on.

    A second signal stops at once.

    Args:
        path: Checkpoint to write.
        how: Command that continues the run.
    """

    def __init__(self, path: Path, how: str) -> None:
        self.path, self.how = path, how
        self.asked = False
        self._previous: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take over the signals, also from Lightning, which would drop the state."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._ask)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Stop here, unless the epoch ends anyway: its validation would be lost."""
        if batch_idx + 1 < trainer.num_training_batches:
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
            raise KeyboardInterrupt
        self.asked = True
        print("\nStopping after this step; press Ctrl-C again to stop at once.", file=sys.stderr)

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
