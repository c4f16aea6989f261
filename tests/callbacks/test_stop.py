"""Stopping: several processes ask each other seldom, and what was over stays over."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping
from torch.utils.data import DataLoader

from lightning_brats import slurm
from lightning_brats.callbacks import InterruptedRunError, SafeStop, stop
from lightning_brats.callbacks.stop import ASKED_EVERY, ONE_KEY


class Flat(pl.LightningModule):
    """One weight; the score never rises."""

    def __init__(self) -> None:
        super().__init__()
        self.w = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return (self.w * batch).sum()

    def validation_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        self.log("score", 0.5)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1.0)


def loader(batches: int) -> DataLoader:
    return DataLoader([torch.ones(1)] * batches, batch_size=None)


def trainer(folder: Path, *callbacks: pl.Callback, **settings: Any) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu",
        callbacks=[*callbacks, SafeStop(folder / "last.ckpt", "resume=auto")],
        default_root_dir=folder,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=False,
        num_sanity_val_steps=0,
        **settings,
    )


class AskAt(pl.Callback):
    """Asks for a stop after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        if trainer.global_step == self.step:
            (stop,) = (one for one in trainer.callbacks if isinstance(one, SafeStop))
            stop.asked = True


@pytest.mark.parametrize(("processes", "expected"), [(1, 3), (2, ASKED_EVERY)])
def test_processes_ask_each_other_every_few_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int, expected: int
) -> None:
    questions = []

    def ask(strategy: object, decision: bool, all: bool = True) -> bool:
        questions.append(decision)
        return decision

    runner = trainer(tmp_path, AskAt(3), max_epochs=1)
    monkeypatch.setattr(type(runner.strategy), "reduce_boolean_decision", ask)
    monkeypatch.setattr(pl.Trainer, "world_size", property(lambda trainer: processes))
    with pytest.raises(InterruptedRunError, match="resume=auto"):
        runner.fit(Flat(), loader(25))
    assert runner.global_step == expected
    assert len(questions) == (0 if processes == 1 else 2)  # to stop, and into the queue or not


@pytest.mark.filterwarnings("ignore")
def test_what_early_stopping_has_ended_is_not_trained_on(tmp_path: Path) -> None:
    def fit(checkpoint: Path | None = None) -> pl.Trainer:
        stopping = EarlyStopping("score", patience=1, mode="max", check_on_train_epoch_end=False)
        runner = trainer(tmp_path, stopping, max_epochs=9)
        runner.fit(Flat(), loader(2), loader(1), ckpt_path=checkpoint, weights_only=True)
        return runner

    first = fit()
    assert first.global_step == 4  # the second epoch is no better than the first
    first.save_checkpoint(tmp_path / "last.ckpt")
    assert fit(tmp_path / "last.ckpt").global_step == 4


class RequeueAt(AskAt):
    """Asks for a stop, and for the queue, after a step."""

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        super().on_train_batch_end(trainer, *args)
        (found,) = (one for one in trainer.callbacks if isinstance(one, SafeStop))
        found.requeued = found.asked


def test_no_rank_ends_before_the_job_is_in_the_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = []
    runner = trainer(tmp_path, RequeueAt(1), max_epochs=1)
    monkeypatch.setattr(slurm, "requeue", lambda: order.append("queue"))
    monkeypatch.setattr(runner.strategy, "barrier", lambda *_: order.append("barrier"))
    with pytest.raises(InterruptedRunError):
        runner.fit(Flat(), loader(3))
    assert order[-2:] == ["queue", "barrier"]


def test_signals_that_a_launcher_doubles_are_one_wish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(stop.time, "monotonic", lambda: now)
    asked = SafeStop(tmp_path / "last.ckpt", "resume=auto")
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
        asked._ask(number, None)
    assert asked.asked
    now += 2 * ONE_KEY
    asked._ask(signal.SIGTERM, None)
    with pytest.raises(KeyboardInterrupt):
        asked._ask(signal.SIGINT, None)
