"""What a configuration leaves open is filled in from the data, and what it asks for is built."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write_case
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.environments import SLURMEnvironment

from lightning_brats import BratsDataModule, assembly
from lightning_brats.callbacks import SafeStop, ScoreSchedules
from lightning_brats.data.sources import CaseSource
from lightning_brats.data.splits import Split
from lightning_brats.errors import ConfigError
from lightning_brats.losses import DeepSupervision
from lightning_brats.machine import Machine
from lightning_brats.memory_trial import Trial
from lightning_brats.resolving import check_auto_fit, check_end, resolve

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


@pytest.mark.parametrize(
    ("overrides", "threads", "workers", "edge"),
    [
        ([], 16, 8, 128),
        (["trainer.devices=4"], 4, 3, 128),
        (["trainer.devices=auto"], 4, 3, 128),
        (["trainer.devices=-1"], 4, 3, 128),
        (["trainer.devices=[0,1]"], 8, 7, 128),
        (["trainer.devices='2'"], 8, 7, 128),
        (["trainer.devices=2", "trainer.num_nodes=3"], 8, 7, 128),
        (["trainer.accelerator=cpu"], 14, 4, 48),
        (["trainer.accelerator=cpu", "trainer.devices=auto"], 14, 4, 48),
    ],
)
def test_processes_of_a_host_share_what_they_use_of_it(
    data: BratsDataModule,
    monkeypatch: pytest.MonkeyPatch,
    overrides: list[str],
    threads: int,
    workers: int,
    edge: int,
) -> None:
    monkeypatch.setattr(data, "typical_shape", lambda: (160, 160, 160))
    server = Machine("cpu", 16, 64.0, ("a GPU",) * 4, 80.0)
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        cfg = compose("run", ["model_name=x", "trainer.precision=32-true", *overrides])
    found = resolve(cfg, server, data)
    assert (found.trainer.threads, found.queue.workers) == (threads, workers)
    assert found.queue.patch_size == [edge] * 3


def test_a_task_of_srun_shares_its_cores_with_nobody(
    data: BratsDataModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("CPUS_PER_TASK", "8"), ("STEP_ID", "0"), ("NTASKS", "8")):
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setenv("SLURM_JOB_NAME", "brats")
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        options = ["trainer.precision=32-true", "trainer.devices=4", "trainer.num_nodes=2"]
        cfg = compose("run", ["model_name=x", *options])
    for seen in (8, 64):  # bound to its own, or free to use the host's
        server = Machine("cpu", seen, 64.0, ("a GPU",) * 4, 80.0)
        found = resolve(cfg, server, data)
        assert (found.trainer.threads, found.queue.workers) == (8, 7)


@pytest.mark.parametrize(
    ("overrides", "given", "device", "dtype"),
    [
        (["queue.batch_size=4"], "batch_size", "cuda:0", torch.float16),
        (["queue.patch_size=[48,48,48]", "trainer.devices=[1]"], "patch_size", "cuda:1", None),
    ],
)
def test_sizes_that_are_given_stay_where_a_step_fails(
    data: BratsDataModule,
    monkeypatch: pytest.MonkeyPatch,
    overrides: list[str],
    given: str,
    device: str,
    dtype: torch.dtype | None,
) -> None:
    tried: list[tuple[tuple[int, ...], int]] = []

    def fits(trial: Trial, patch: tuple[int, ...], batch: int) -> bool:
        assert (str(trial.device), trial.dtype, trial.budget) == (device, dtype, 2**34)
        tried.append((tuple(patch), batch))
        return len(tried) > 1

    monkeypatch.setattr(Trial, "fits", fits)
    monkeypatch.setattr("lightning_brats.resolving.free_bytes", lambda reserved, device: 2**34)
    monkeypatch.setattr("lightning_brats.resolving.DATASET_SHARE", 1.0)
    monkeypatch.setattr(data, "typical_shape", lambda: (96, 96, 96))
    monkeypatch.setattr("lightning_brats.resolving.fit_sizes", lambda *args: ((48, 48, 48), 4))
    server = Machine("cpu", 16, 64.0, ("a GPU",) * 4, 80.0)
    precision = "32-true" if dtype is None else "16-mixed"
    options = ["trainer.auto_fit=true", "model.size=tiny", f"trainer.precision={precision}"]
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        cfg = compose("run", ["model_name=x", *options, *overrides])
    found = resolve(cfg, server, data)
    assert tried[0] == ((48, 48, 48), 4)
    sizes = (tuple(found.queue.patch_size), found.queue.batch_size)
    assert sizes == (((32, 48, 48), 4) if given == "batch_size" else ((48, 48, 48), 3))


@pytest.mark.parametrize(
    ("overrides", "ends"),
    [
        ([], True),
        (["trainer.max_epochs=-1"], False),
        (["trainer.max_epochs=-1", "+trainer.max_time='00:04:00:00'"], False),
        (["trainer.max_epochs=null", "+trainer.max_time='00:04:00:00'"], False),
        (["trainer.max_epochs=null"], True),  # Lightning makes it 1000
        (["trainer.max_epochs=-1", "trainer.max_steps=10"], True),
        (["trainer.max_epochs=9", "+trainer.max_time='00:04:00:00'"], True),
    ],
)
def test_a_training_needs_an_end(overrides: list[str], ends: bool) -> None:
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        cfg = compose("run", ["model_name=x", *overrides])
    if ends:
        check_end(cfg)
        return
    with pytest.raises(ConfigError, match=r"trainer\.max_epochs or trainer\.max_steps"):
        check_end(cfg)


def test_a_launcher_s_processes_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        cfg = compose("run", ["model_name=x", "trainer.auto_fit=true"])
    with pytest.raises(ConfigError, match="with 2 processes"):
        check_auto_fit(cfg, MACHINE)


def test_a_trainer_is_built_without_lightning_s_own_requeue(
    data: BratsDataModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("NTASKS", "1"), ("PROCID", "0"), ("LOCALID", "0"), ("NODEID", "0")):
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setenv("SLURM_JOB_NAME", "brats")
    trainer = assembly.build_trainer(resolved(data, "tracking=none"), tmp_path, data.source)
    environment = trainer._accelerator_connector.cluster_environment
    assert isinstance(environment, SLURMEnvironment)
    assert not environment.auto_requeue


def test_settings_that_do_not_go_together_build_no_trainer(
    data: BratsDataModule, tmp_path: Path
) -> None:
    cfg = resolved(data, "tracking=none", "trainer.strategy=fsdp", "trainer.ema=0.9")
    with pytest.raises(ConfigError, match=r"trainer\.ema=null"):
        assembly.build_trainer(cfg, tmp_path, data.source)


def test_determinism_may_be_asked_for_where_there_is_any(
    data: BratsDataModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # Lightning sets it for good
    cfg = resolved(data, "tracking=none", "trainer.deterministic=warn")
    try:
        assembly.build_trainer(cfg, tmp_path, data.source)
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
        assert not torch.backends.cudnn.benchmark
    finally:
        torch.use_deterministic_algorithms(False)


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
