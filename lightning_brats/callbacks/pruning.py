"""Giving up a trial that its study holds to be hopeless."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.loggers import WandbLogger

from lightning_brats import tracking
from lightning_brats.errors import BratsError
from lightning_brats.runs import write_json


class PrunedRunError(BratsError):
    """The study gave the run up; nothing is wrong with it."""


class StudyPruning(pl.Callback):
    """Reports each validation, and stops where the study says so.

    Rank 0 alone reports and hears the answer; then all ranks stop together, after the epoch's row
    and checkpoint are written.

    Args:
        report: Takes (epoch, score); answers whether to stop.
        marker: File that tells the worker why the run ended.
        monitor: The score.
    """

    def __init__(
        self,
        report: Callable[[int, float], bool],
        marker: Path,
        monitor: str = "val/dice_mean",
    ) -> None:
        self.report, self.marker, self.monitor = report, marker, monitor
        self.given_up = False

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report, and decide for all ranks."""
        if trainer.sanity_checking or self.monitor not in trainer.callback_metrics:
            return
        score = float(trainer.callback_metrics[self.monitor])  # on every rank: they exchange it
        decided = trainer.is_global_zero and self.report(trainer.current_epoch, score)
        self.given_up = bool(trainer.strategy.broadcast(decided))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop here, if so decided."""
        if not self.given_up:
            return
        epoch = trainer.current_epoch
        if trainer.is_global_zero:
            write_json(self.marker, {"epoch": epoch, "step": trainer.global_step})
            if isinstance(trainer.logger, WandbLogger):
                trainer.logger.experiment.summary["pruned"] = True
                tracking.finish(trainer.logger)
        trainer.strategy.barrier()  # a rank that has ended may take the others with it
        raise PrunedRunError(
            f"the study gave this trial up after epoch {epoch + 1}: others do better",
            file=self.marker,
        )
