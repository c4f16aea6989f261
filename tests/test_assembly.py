"""What a configuration leaves open is filled in from the data, and what it asks for is built."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import write_case
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from pytorch_lightning.callbacks import ModelCheckpoint

from lightning_brats import BratsDataModule, assembly
from lightning_brats.callbacks import SafeStop, ScoreSchedules
from lightning_brats.data.sources import CaseSource
from lightning_brats.data.splits import Split
from lightning_brats.errors import ConfigError
from lightning_brats.losses import DeepSupervision
from lightning_brats.machine import Machine
from lightning_brats.resolving import check_auto_fit, resolve

MACHINE = Machine("cpu", 2, 8.0, (), 0.0)


@pytest.fixture
def data(tmp_path: Path) -> BratsDataModule:
    cases = tuple(write_case(tmp_path, f"c{i}", seed=i) for i in range(4))
    names = [case.case for case in cases]
    split = Split(tuple(names[:2]), (names[2],), (names[3],))
    return BratsDataModule(CaseSource("made up", cases), split=split)


def resolved(data: BratsDataModule, *overrides: str):
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        cfg = compose("run", ["model_name=x", *overrides])
    return resolve(cfg, MACHINE, data)


@pytest.mark.parametrize("head", ["labels", "regions"])
def test_class_weights_are_counted_on_the_training_cases(data: BratsDataModule, head: str) -> None:
    masks = [entry.mask for entry in data.entries("train")]
    voxels = np.concatenate([np.asarray(mask).ravel() for mask in masks])
    term = "{name: weighted_ce, foreground: auto}"
    cfg = resolved(data, f"head={head}", "loss=compound", f"loss.terms=[dice,{term}]")
    outside, insides = voxels == 0, [voxels == k for k in (1, 2, 3)]
    if head == "regions":
        insides = [voxels > 0, (voxels == 1) | (voxels == 3), voxels == 3]
    expected = [
        ((outside if head == "labels" else ~inside).sum() / inside.sum()) ** 0.5
        for inside in insides
    ]
    assert list(cfg.loss.terms[1].foreground) == pytest.approx(expected)
    alone = resolved(data, f"head={head}", "loss=weighted_ce", "loss.foreground=auto")
    assert alone.loss.foreground == cfg.loss.terms[1].foreground
    task = assembly.build_task(cfg, data.source, data)
    assert task.loss.loss.terms[1].terms[0].foreground.tolist() == pytest.approx(expected)


def test_weights_of_deep_supervision_reach_the_task(data: BratsDataModule) -> None:
    cfg = resolved(data, "trainer.deep_supervision=[2,1,1]", "model.size=tiny")
    task = assembly.build_task(cfg, data.source, data)
    assert isinstance(task.loss, DeepSupervision)
    assert task.loss.weights == [2, 1, 1]
    assert task.net.deep_supervision
    assert OmegaConf.is_list(cfg.trainer.deep_supervision)
    cfg = resolved(data, "trainer.deep_supervision=true", "model.size=tiny")
    assert assembly.build_task(cfg, data.source, data).loss.weights is None


def test_a_compiled_run_stops_early_as_any_other(data: BratsDataModule, tmp_path: Path) -> None:
    cfg = resolved(data, "trainer.compile=true", "trainer.patience=3", "tracking=none")
    trainer = assembly.build_trainer(cfg, tmp_path, data.source)
    (stopping,) = trainer.early_stopping_callbacks
    assert (stopping.mode, stopping.monitor, stopping.patience) == ("max", "val/dice_mean", 3)


@pytest.mark.parametrize(
    ("gpus", "overrides", "processes"),
    [
        (0, [], 1),
        (0, ["trainer.devices=2"], 2),
        (0, ["trainer.devices=auto"], 1),
        (4, ["trainer.devices=auto"], 4),
        (4, ["trainer.devices=auto", "trainer.accelerator=cpu"], 1),
        (4, ["trainer.devices=-1"], 4),
        (4, ["trainer.devices=[0,2]"], 2),
        (4, ["trainer.devices='0,1,3'"], 3),
        (4, ["trainer.devices='2'"], 2),
        (1, ["trainer.num_nodes=2"], 2),
    ],
)
def test_sizes_that_fill_the_memory_are_for_one_process(
    gpus: int, overrides: list[str], processes: int
) -> None:
    machine = Machine("cpu", 2, 8.0, ("a GPU",) * gpus, 16.0)
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        cfg = compose("run", ["model_name=x", "trainer.auto_fit=true", *overrides])
    if processes == 1:
        check_auto_fit(cfg, machine)
        return
    with pytest.raises(ConfigError, match=rf"with {processes} processes[\s\S]*queue\.batch_size"):
        check_auto_fit(cfg, machine)


def test_a_launcher_s_processes_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        cfg = compose("run", ["model_name=x", "trainer.auto_fit=true"])
    with pytest.raises(ConfigError, match="with 2 processes"):
        check_auto_fit(cfg, MACHINE)


def test_scores_are_watched_as_soon_as_there_are_any(data: BratsDataModule, tmp_path: Path) -> None:
    """However often there is a validation: a stop at the epoch's end must not lose it."""
    for every in (1, 4):
        watched = ["trainer.patience=3", f"trainer.check_val_every_n_epoch={every}"]
        cfg = resolved(data, "tracking=none", *watched)
        trainer = assembly.build_trainer(cfg, tmp_path, data.source)
        (stopping,) = trainer.early_stopping_callbacks
        best, last = trainer.checkpoint_callbacks
        assert stopping._check_on_train_epoch_end is False
        assert not best._should_save_on_train_epoch_end(trainer)
        assert last._should_save_on_train_epoch_end(trainer)
        kinds = [type(callback) for callback in trainer.callbacks]
        assert kinds.index(ScoreSchedules) < kinds.index(SafeStop) < kinds.index(ModelCheckpoint)
