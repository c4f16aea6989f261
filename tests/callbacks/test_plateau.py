"""A learning rate that follows the validation Dice, in a run that stops and goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from lightning_brats.callbacks import ScoreSchedules
from lightning_brats.optim import plateau

BATCHES = DataLoader([torch.ones(1)] * 2, batch_size=None)
SCORES = {1: 0.5, 3: 0.4, 5: 0.6, 7: 0.3}
"""Epoch → its Dice; the others are not validated, and the last one counts again."""
RATES = [1.0] * 4 + [0.5] * 4 + [0.25]
"""The rate of each epoch: halved after two that are no better, which are 2 and 3, 6 and 7."""


class Scored(pl.LightningModule):
    """One weight, and given scores."""

    def __init__(self) -> None:
        super().__init__()
        self.w = torch.nn.Parameter(torch.zeros(1))
        self.rates: list[float] = []

    def on_train_epoch_start(self) -> None:
        self.rates.append(self.trainer.optimizers[0].param_groups[0]["lr"])

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return (self.w * batch).sum()

    def validation_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        self.log("val/dice_mean", SCORES[self.current_epoch])

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=1.0)
        return {"optimizer": optimizer, "lr_scheduler": plateau(optimizer, 0, patience=1)}


def rates(folder: Path, checkpoint: Path | None = None) -> list[float]:
    """Rate of each epoch that begins, of nine; leaves a checkpoint of every step and epoch."""
    kept: dict[str, Any] = {"dirpath": folder, "save_top_k": -1, "auto_insert_metric_name": False}
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=9,
        check_val_every_n_epoch=2,
        callbacks=[
            ScoreSchedules(),
            ModelCheckpoint(filename="step-{step}", every_n_train_steps=1, **kept),
            ModelCheckpoint(filename="epoch-{epoch}", save_on_train_epoch_end=True, **kept),
        ],
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=False,
        num_sanity_val_steps=0,
    )
    module = Scored()
    trainer.fit(module, BATCHES, BATCHES, ckpt_path=checkpoint, weights_only=True)
    return module.rates


@pytest.mark.filterwarnings("ignore")
def test_a_run_goes_on_at_the_rates_of_one_that_never_stopped(tmp_path: Path) -> None:
    """From the end of epochs with and without validation, and from within epochs."""
    assert rates(tmp_path / "whole") == RATES
    for name, missing in (("epoch-2", 6), ("epoch-5", 3), ("epoch-7", 1), ("step-7", 5)):
        again = rates(tmp_path / name, tmp_path / "whole" / f"{name}.ckpt")
        assert again == RATES[-missing:], name
