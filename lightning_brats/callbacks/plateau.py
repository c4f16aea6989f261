"""Schedules that follow a score, in a run that may stop and go on at any moment."""

from __future__ import annotations

import sys
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.utilities.types import LRSchedulerConfig


class ScoreSchedules(pl.Callback):
    """Steps schedules that follow a score, such as `plateau`, at the end of each epoch.

    Lightning does so when the epoch's checkpoint is written already, and forgets scores when a run
    stops, so that a continuation would not learn at the same rates. Here the checkpoint, which has
    to be written by callbacks after this one, holds both.
    """

    def __init__(self) -> None:
        self._scores: dict[str, float] = {}
        self._epoch = -1
        self._schedules: list[tuple[LRSchedulerConfig, int]] = []

    def state_dict(self) -> dict[str, Any]:
        """The last scores, and the last epoch that counted."""
        return {"scores": dict(self._scores), "epoch": self._epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What was known when the run stopped."""
        self._scores, self._epoch = dict(state_dict["scores"]), state_dict["epoch"]

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take these schedules over."""
        found = trainer.lr_scheduler_configs
        chosen = [one for one in found if one.reduce_on_plateau and one.interval == "epoch"]
        self._schedules = [(one, one.frequency) for one in chosen]
        for one in chosen:
            one.frequency = sys.maxsize  # epochs until it is Lightning's turn

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Step, once an epoch; before there is a score, not at all."""
        if trainer.current_epoch <= self._epoch:
            return
        self._epoch = trainer.current_epoch
        metrics = trainer.callback_metrics
        for schedule, frequency in self._schedules:
            name = str(schedule.monitor)
            if name in metrics:
                self._scores[name] = float(metrics[name])
            if name in self._scores and (self._epoch + 1) % frequency == 0:
                pl_module.lr_scheduler_step(schedule.scheduler, self._scores[name])
