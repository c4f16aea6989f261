"""The line of an epoch: what ends the training, and when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Timer
from torch.utils.data import DataLoader

from lightning_brats.callbacks import Pace, TrainingProgress
from lightning_brats.clock import seconds_left, share_done


class Line(pl.LightningModule):
    """One weight."""

    def __init__(self) -> None:
        super().__init__()
        self.w = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        loss = (self.w * batch).sum()
        self.log("train/loss", loss.detach(), on_epoch=True, on_step=False)
        return loss

    def on_train_epoch_end(self) -> None:
        self.trainer.should_stop = self.current_epoch == 1  # of however many

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


def lines(folder: Path, capsys: pytest.CaptureFixture[str], **limits: Any) -> list[str]:
    pace = Pace()
    trainer = pl.Trainer(
        accelerator="cpu",
        callbacks=[pace, TrainingProgress(pace)],
        default_root_dir=folder,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=False,
        **limits,
    )
    trainer.fit(Line(), DataLoader([torch.ones(1)] * 2, batch_size=None))
    return [line for line in capsys.readouterr().out.splitlines() if "epoch " in line]


@pytest.fixture
def a_minute_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Timer, "time_elapsed", lambda timer, stage="train": 60.0)


def test_epochs_are_counted_up_to_their_limit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = lines(tmp_path, capsys, max_epochs=2)
    assert first.startswith("  epoch   1/2  step 2/4  loss 0.000  left 0.0 min")
    assert second.startswith("  epoch   2/2  step 4/4  ")


def test_a_limit_of_steps_has_no_number_of_epochs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    *_, last = lines(tmp_path, capsys, max_epochs=100_000, max_steps=4)
    assert last.startswith("  epoch   2  step 4/4  ")


def test_a_limit_of_time_says_what_it_leaves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], a_minute_spent: None
) -> None:
    first, _ = lines(tmp_path, capsys, max_epochs=10**8, max_time="00:00:07:00")
    assert first.startswith("  epoch   1  step 2  loss 0.000  left 6.0 min")


@pytest.mark.parametrize(
    ("limits", "share", "left"),
    [
        ({}, 0.25, None),
        ({"max_time": "00:00:04:00"}, 0.25, 180.0),
        ({"max_time": "00:00:01:30"}, 2 / 3, 30.0),
        ({"max_time": "00:00:00:30"}, 2.0, 0.0),
    ],
)
def test_a_training_is_as_far_as_its_nearest_limit(
    limits: dict[str, str],
    share: float,
    left: float | None,
    a_minute_spent: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainer = pl.Trainer(accelerator="cpu", logger=False, **limits)
    monkeypatch.setattr(pl.Trainer, "global_step", property(lambda trainer: 25))
    assert share_done(trainer, 100) == pytest.approx(share)
    assert seconds_left(trainer) == left
