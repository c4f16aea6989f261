"""The table of epochs."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from lightning_brats.callbacks.pace import Pace


class EpochTable(pl.Callback):
    """`metrics.csv`: one row an epoch, written as it ends, kept when a run goes on.

    Args:
        path: The file.
        pace: Measures the epochs; stands before this one among the trainer's callbacks.
    """

    def __init__(self, path: Path, pace: Pace) -> None:
        self.path, self.pace = path, pace
        self._validated = False

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """No validation in this epoch yet."""
        self._validated = False

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Values of this epoch; also where `max_time` ends it early, before one is due."""
        self._validated = True

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the row; validation, where there was one, has its values already."""
        # On every rank, because reading the metrics makes the ranks exchange them.
        values = {name: float(v) for name, v in trainer.callback_metrics.items()}
        if not trainer.is_global_zero:
            return
        row: dict[str, Any] = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            "train/loss": values["train/loss"],
            **{name: value for name, value in values.items() if name.startswith("train/loss_")},
            **{name: self._validation(values, name) for name in _validation_names(pl_module)},
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
            **{name: round(value, 4) for name, value in self.pace.epoch.items()},
        }
        self._write(row)
        for logger in trainer.loggers:
            known = {k: v for k, v in row.items() if v != "" and k not in ("epoch", "step")}
            logger.log_metrics({**known, "epoch": row["epoch"]}, step=trainer.global_step)

    def _validation(self, values: dict[str, float], name: str) -> float | str:
        return values[name] if self._validated and name in values else ""

    def _write(self, row: dict[str, Any]) -> None:
        kept: list[dict[str, str]] = []
        if self.path.exists():
            with self.path.open(newline="") as stream:
                kept = [old for old in csv.DictReader(stream) if int(old["epoch"]) < row["epoch"]]
        partial = self.path.with_suffix(".partial")
        with partial.open("w", newline="") as stream:
            names = dict.fromkeys([*row, *(name for old in kept for name in old)])
            writer = csv.DictWriter(stream, list(names))
            writer.writeheader()
            writer.writerows([*kept, row])
        partial.replace(self.path)


def _validation_names(module: pl.LightningModule) -> list[str]:
    names = getattr(module, "validated", None)  # of a task that is not a segmentation
    if names is not None:
        return list(names)
    return [f"val/dice_{name}" for name in (*module.regions, "mean")]  # type: ignore[misc]
