"""What a configuration leaves open is filled in from the data, and what it asks for is built."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import write_case
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from lightning_brats import BratsDataModule, assembly
from lightning_brats.data.sources import CaseSource
from lightning_brats.data.splits import Split
from lightning_brats.losses import DeepSupervision
from lightning_brats.machine import Machine
from lightning_brats.resolving import resolve

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
