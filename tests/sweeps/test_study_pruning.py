"""Giving trials up: the callback stops a training, the reporter asks the study."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from lightning_brats.callbacks import PrunedRunError, StudyPruning
from lightning_brats.sweeps import reporting
from lightning_brats.sweeps.storage import open_storage


class Falling(pl.LightningModule):
    """Its score is 1, 1/2, 1/3 … epoch by epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.epochs = 0

    def training_step(self, batch: torch.Tensor, index: int) -> torch.Tensor:
        return (self.weight * batch).sum()

    def validation_step(self, batch: torch.Tensor, index: int) -> None:
        self.log("val/dice_mean", 1 / (self.current_epoch + 1))

    def on_train_epoch_end(self) -> None:
        self.epochs += 1

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.0)


def train(
    callback: pl.Callback, folder: Path, barrier: Callable[[], None] = lambda: None
) -> Falling:
    module = Falling()
    trainer = pl.Trainer(
        max_epochs=6,
        callbacks=[callback],
        logger=False,
        accelerator="cpu",
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        check_val_every_n_epoch=2,
    )
    trainer.strategy.barrier = lambda *_: barrier()  # type: ignore[method-assign]
    loader = DataLoader(torch.ones(2, 1))
    trainer.fit(module, loader, loader)
    return module


def test_it_stops_after_the_epoch_in_which_the_study_says_so(tmp_path: Path) -> None:
    heard: list[tuple[int, float]] = []

    def report(epoch: int, score: float) -> bool:
        heard.append((epoch, round(score, 3)))
        return epoch >= 3

    marker = tmp_path / "pruned.json"
    with pytest.raises(PrunedRunError, match="after epoch 4"):
        train(StudyPruning(report, marker), tmp_path)
    assert heard == [(1, 0.5), (3, 0.25)]
    assert json.loads(marker.read_text())["epoch"] == 3


def test_no_rank_ends_before_the_first_has_written_why(tmp_path: Path) -> None:
    marker = tmp_path / "pruned.json"
    written: list[bool] = []
    callback = StudyPruning(lambda *_: True, marker)
    with pytest.raises(PrunedRunError):
        train(callback, tmp_path, barrier=lambda: written.append(marker.exists()))
    assert written[-1]


def test_a_trial_that_may_go_on_does(tmp_path: Path) -> None:
    module = train(StudyPruning(lambda *_: False, tmp_path / "pruned.json"), tmp_path)
    assert module.epochs == 6
    assert not (tmp_path / "pruned.json").exists()


def test_the_reporter_asks_the_study_s_pruner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    study = optuna.create_study(storage=open_storage(url), study_name="s", direction="maximize")
    for _ in range(3):
        trial = study.ask()
        for step in range(4):
            trial.report(0.5, step)
        study.tell(trial, 0.5)
    pruner = {"_target_": "optuna.pruners.MedianPruner", "n_startup_trials": 2, "n_warmup_steps": 1}
    for score, verdicts in ((0.4, [False, True]), (0.6, [False, False])):
        told = {"storage": url, "study": "s", "number": study.ask().number, "pruner": pruner}
        monkeypatch.setenv(reporting.TRIAL, json.dumps(told))
        report = reporting.from_environment()
        assert report
        assert [report(step, score) for step in (0, 2)] == verdicts
    reported = [t.intermediate_values for t in study.trials[3:]]
    assert reported == [{0: 0.4, 2: 0.4}, {0: 0.6, 2: 0.6}]


def test_a_study_out_of_reach_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told = {"storage": f"sqlite:///{tmp_path}/s.db", "study": "s", "number": 0, "pruner": None}
    monkeypatch.setenv(reporting.TRIAL, json.dumps(told))
    report = reporting.from_environment()
    assert report
    assert report(0, 0.1) is False
    assert "could not be told of epoch 0" in caplog.text


def test_a_run_that_is_no_trial_reports_to_nobody() -> None:
    assert reporting.TRIAL not in os.environ
    assert reporting.from_environment() is None
