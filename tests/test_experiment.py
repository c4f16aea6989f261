"""The main job on a tiny phantom, in this process; the command line is in test_commands.py."""

import csv
import json
import os
import signal
from datetime import datetime
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf

from lightning_brats import assembly, experiment, runs
from lightning_brats.callbacks import InterruptedRunError
from lightning_brats.data.phantom import write_phantom
from lightning_brats.data.sources import load_cases
from lightning_brats.errors import BratsError, ConfigError, DataError

TINY = (
    "model.size=tiny",
    "queue.patch_size=[16,16,16]",
    "queue.workers=0",
    "queue.patches_per_volume=2",
    "trainer.max_epochs=2",
    "trainer.check_val_every_n_epoch=1",
    "trainer.threads=1",
    "trainer.precision=32-true",
    "tracking=none",
)


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "phantom"
    return write_phantom(root, layout="brats2021", cases=6, spacing=6.0)


def configure(folder: Path, *overrides: str) -> DictConfig:
    os.environ.pop(runs.RUN_VARIABLE, None)
    options = [o for o in TINY if not ("model=fcnn" in overrides and o.startswith("model"))]
    return experiment.configure(*options, f"runs={folder}", *overrides)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / runs.LAST, weights_only=True)["state_dict"]


def test_a_run_leaves_everything_behind(phantom: Path, tmp_path: Path) -> None:
    folder = experiment.run(configure(tmp_path, f"data.root={phantom}"))
    assert folder.parent == tmp_path / "attention_unet"
    for name in ("config.yaml", "environment.json", "split.json", "metrics.csv", "report.html"):
        assert (folder / name).stat().st_size > 0
    assert (folder / "checkpoints" / "best.ckpt").exists()
    assert list((folder / "figures").glob("*.png"))
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    assert [int(row["epoch"]) for row in rows] == [0, 1]
    assert all(0 <= float(row["val/dice_mean"]) <= 1 for row in rows)
    scores = pd.read_csv(folder / "evaluation.csv")
    assert {"case", "patient", "region", "metric", "value"} <= set(scores)
    assert set(scores["region"]) == {"WT", "TC", "ET"}
    assert {"dice", "hd95", "sensitivity", "precision"} <= set(scores["metric"])
    summary = json.loads((folder / "summary.json").read_text())
    by_hand = scores.query("metric == 'dice' and region == 'WT'")["value"].mean()
    assert summary["regions"]["WT"]["dice"] == pytest.approx(by_hand)
    assert summary["parameters"] > 0
    assert summary["gflops_per_patch"] > 0
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["versions"]["torch"] == torch.__version__
    assert environment["seed"] == 0


def test_predictions_lie_on_the_input_s_grid_in_its_coding(phantom: Path, tmp_path: Path) -> None:
    folder = experiment.run(configure(tmp_path, f"data.root={phantom}", "model=fcnn"))
    split = json.loads((folder / "split.json").read_text())
    cases = {case.case: case for case in load_cases(root=phantom).cases}
    tested = [case for group in split["test"].values() for case in group]
    assert sorted(p.name for p in (folder / "predictions").iterdir()) == sorted(
        f"{case}.nii.gz" for case in tested
    )
    for case in tested:
        saved = nib.load(folder / "predictions" / f"{case}.nii.gz")
        source = nib.load(cases[case].images["t1c"].path)
        assert saved.shape == source.shape
        assert np.allclose(saved.affine, source.affine)
        assert set(np.unique(np.asarray(saved.dataobj))) <= {0, 1, 2, 4}


class InterruptAt(pl.Callback):
    """Sends this process a signal after a step."""

    def __init__(self, step: int, number: int = signal.SIGINT) -> None:
        self.step, self.number = step, number

    def on_train_batch_start(self, trainer: pl.Trainer, *args) -> None:
        if trainer.global_step == self.step:
            os.kill(os.getpid(), self.number)


@pytest.fixture(scope="module")
def uninterrupted(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIGHTNING_BRATS_CACHE", str(folder / "cache"))
        run = experiment.run(configure(folder, f"data.root={phantom}", "model.dropout=0.2"))
    del os.environ[runs.RUN_VARIABLE]
    return run


@pytest.mark.parametrize(("step", "number"), [(3, signal.SIGINT), (5, signal.SIGTERM)])
def test_a_stopped_run_goes_on_to_the_same_weights(
    phantom: Path,
    uninterrupted: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: int,
    number: int,
) -> None:
    options = (f"data.root={phantom}", "model.dropout=0.2")
    whole = uninterrupted
    original = assembly.build_trainer

    def interrupted(*args) -> pl.Trainer:
        trainer = original(*args)
        trainer.callbacks.insert(0, InterruptAt(step, number))
        return trainer

    monkeypatch.setattr(assembly, "build_trainer", interrupted)
    with pytest.raises(InterruptedRunError, match="resume=auto"):
        experiment.run(configure(tmp_path / "stopped", *options))
    assert list((tmp_path / "stopped").rglob("best.ckpt"))  # the first epoch was validated
    monkeypatch.setattr(assembly, "build_trainer", original)
    resumed = experiment.run(configure(tmp_path / "stopped", *options, "resume=auto"))
    first, second = weights(whole), weights(resumed)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert len(list((tmp_path / "stopped" / "attention_unet").iterdir())) == 1
    table = [pd.read_csv(folder / "metrics.csv") for folder in (whole, resumed)]
    assert table[0]["epoch"].tolist() == table[1]["epoch"].tolist()
    assert np.allclose(table[0]["val/dice_mean"], table[1]["val/dice_mean"])


def test_resuming_with_other_settings_is_refused(phantom: Path, tmp_path: Path) -> None:
    root = f"data.root={phantom}"
    folder = experiment.build(configure(tmp_path, root)).folder
    (folder / "checkpoints").mkdir()
    (folder / runs.LAST).write_bytes(b"x")
    with pytest.raises(ConfigError, match=r"optimizer\.lr: 0\.005 → 0\.1"):
        experiment.run(configure(tmp_path, root, "optimizer.lr=0.1", f"resume={folder}"))


def test_devices_may_differ_with_the_batch(phantom: Path, tmp_path: Path) -> None:
    options = (f"data.root={phantom}", "queue.batch_size=4")
    folder = experiment.build(configure(tmp_path, *options)).folder
    (folder / "checkpoints").mkdir()
    (folder / runs.LAST).write_bytes(b"x")
    two = ("trainer.devices=2", f"resume={folder}")
    words = r"trainer\.devices: 1 → 2[\s\S]*trainer\.devices × .* × queue\.batch_size at 4"
    with pytest.raises(ConfigError, match=words):
        runs.run_folder(configure(tmp_path, *options, *two))
    halved = configure(tmp_path, options[0], "queue.batch_size=2", *two)
    assert runs.run_folder(halved) == (folder, True)


def test_what_was_left_open_stays_as_it_was(
    phantom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the machine would give today, in lists of the configuration too."""
    term = "loss.terms=[dice,{name: weighted_ce, foreground: auto}]"
    names = ("queue.patch_size", "queue.batch_size", "trainer.precision", "trainer.threads")
    auto = [*(f"{name}=auto" for name in names), "loss=compound", term]
    options = (f"data.root={phantom}", "trainer.auto_fit=true", *auto)
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)
    folder = experiment.build(configure(tmp_path, *options)).folder
    (folder / "checkpoints").mkdir()
    (folder / runs.LAST).write_bytes(b"x")
    saved = OmegaConf.load(folder / "config.yaml")
    saved.queue.patch_size, saved.queue.batch_size = [16, 32, 16], 3
    saved.inference.patch_size, saved.trainer.precision = [32, 32, 16], "64-true"
    saved.loss.terms[1].foreground = [2.0, 3.0, 5.0]
    saved.trainer.threads = 77
    OmegaConf.save(saved, folder / "config.yaml")
    again = experiment.build(configure(tmp_path, *options, "resume=auto"))
    assert again.resumed
    assert again.cfg.queue.patch_size == [16, 32, 16]
    assert again.cfg.queue.batch_size == again.data.settings.batch_size == 3
    assert again.cfg.inference.patch_size == [32, 32, 16]
    assert again.cfg.trainer.precision == "64-true"
    assert again.cfg.loss.terms[1].foreground == [2.0, 3.0, 5.0]
    assert again.cfg.trainer.threads != 77
    other = [option.replace("auto}", "7}") for option in options]
    with pytest.raises(ConfigError, match=r"loss.terms"):
        experiment.build(configure(tmp_path, *other, "resume=auto"))


def test_a_run_that_had_ended_is_not_trained_on(
    phantom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while it segments, after early stopping."""
    options = (f"data.root={phantom}", "trainer.patience=1", "trainer.max_epochs=8")
    frozen = ("optimizer.lr=0", "scheduler=constant")

    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    original = experiment.predict
    monkeypatch.setattr(experiment, "predict", killed)
    with pytest.raises(KeyboardInterrupt):
        experiment.run(configure(tmp_path, *options, *frozen))
    monkeypatch.setattr(experiment, "predict", original)
    folder = experiment.run(configure(tmp_path, *options, *frozen, "resume=auto"))
    assert len(pd.read_csv(folder / "metrics.csv")) == 2
    assert (folder / "report.html").exists()


def test_resume_auto_starts_anew_where_nothing_stopped(phantom: Path, tmp_path: Path) -> None:
    built = experiment.build(configure(tmp_path, f"data.root={phantom}", "resume=auto"))
    assert not built.resumed


def test_deep_supervision_and_early_stopping(phantom: Path, tmp_path: Path) -> None:
    options = ("trainer.deep_supervision=true", "trainer.patience=1", "trainer.max_epochs=8")
    frozen = ("optimizer.lr=0", "scheduler=constant")  # nothing can get better
    folder = experiment.run(configure(tmp_path, f"data.root={phantom}", *options, *frozen))
    assert len(pd.read_csv(folder / "metrics.csv")) == 2


def test_a_model_without_deep_supervision_says_so(phantom: Path, tmp_path: Path) -> None:
    options = ("model=fcnn", "trainer.deep_supervision=true")
    with pytest.raises(ConfigError, match="fcnn"):
        experiment.build(configure(tmp_path, f"data.root={phantom}", *options))


def test_slices_and_a_softmax_head(phantom: Path, tmp_path: Path) -> None:
    options = ("model.spatial_dims=2", "queue.patch_size=[24,24,1]", "head=labels")
    folder = experiment.run(configure(tmp_path, f"data.root={phantom}", *options))
    assert (folder / "report.html").exists()


def test_sagittal_slices_with_tumour(phantom: Path, tmp_path: Path) -> None:
    options = ("queue=slices", "queue.patch_size=[1,32,32]", "queue.patches_per_volume=4")
    slices = ("queue.slices=[0.1,0.9]", "queue.tumour_only=true", "queue.batch_size=4")
    cfg = configure(tmp_path, f"data.root={phantom}", "model.spatial_dims=2", *options, *slices)
    folder = experiment.run(cfg)
    assert (folder / "report.html").exists()
    assert pd.read_csv(folder / "metrics.csv")["step"].tolist() == [4, 8]


@pytest.mark.parametrize("option", ["model.spatial_dims=2", "queue.patch_size=[24,24,1]"])
def test_slices_need_a_network_for_them(phantom: Path, tmp_path: Path, option: str) -> None:
    with pytest.raises(ConfigError, match="-D network cannot train on patches"):
        experiment.build(configure(tmp_path, f"data.root={phantom}", option))


def test_postoperative_data_have_a_cavity(tmp_path: Path) -> None:
    root = write_phantom(tmp_path / "p", layout="brats2024-gli", cases=6, spacing=6.0)
    folder = experiment.run(configure(tmp_path, f"data.root={root}", "trainer.max_epochs=1"))
    assert "RC" in json.loads((folder / "summary.json").read_text())["regions"]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["data.root=/no/such/folder"], "/no/such/folder"),
        (["data=table"], "data.table"),
        (["data.labels=brats1999"], "brats1999"),
        (["split.file=/no/such/split.json"], "/no/such/split.json"),
        (["resume=/no/such/run"], "/no/such/run"),
        (["preprocess.normalisation=zscor"], "zscore or minmax"),
        (["split.test=0"], "no test cases"),
        (["split.validation=0", "trainer.patience=2"], "patience=2 counts validations"),
        (["trainer.auto_fit=true", "trainer.devices=2"], "with 2 processes"),
    ],
)
def test_bad_input_is_named_before_training(
    tmp_path: Path, phantom: Path, overrides: list[str], words: str
) -> None:
    where = [] if any("data" in o for o in overrides) else [f"data.root={phantom}"]
    where += [f"data.root={phantom}"] if overrides == ["data.labels=brats1999"] else []
    with pytest.raises(BratsError) as error:
        experiment.build(configure(tmp_path, *where, *overrides))
    assert words in str(error.value)
    assert not list(tmp_path.glob("attention_unet/*"))


def test_a_bad_case_is_named_before_training(tmp_path: Path) -> None:
    root = write_phantom(tmp_path / "p", cases=6, spacing=6.0)
    victim = next(root.rglob("*_t2.nii.gz"))
    victim.write_bytes(victim.read_bytes()[:200])
    with pytest.raises(DataError, match="truncated") as error:
        experiment.run(configure(tmp_path, f"data.root={root}"))
    assert victim.name in str(error.value)
    assert not list(tmp_path.rglob("*.ckpt"))


def test_a_slurm_job_whose_time_is_up_goes_back_into_the_queue(
    phantom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    scontrol = tools / "scontrol"
    scontrol.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    original = assembly.build_trainer

    def interrupted(*args) -> pl.Trainer:
        trainer = original(*args)
        trainer.callbacks.insert(0, InterruptAt(3, signal.SIGUSR1))
        return trainer

    monkeypatch.setattr(assembly, "build_trainer", interrupted)
    with pytest.raises(InterruptedRunError, match="resume=auto"):
        experiment.run(configure(tmp_path, f"data.root={phantom}"))
    assert (tmp_path / "asked").read_text() == "requeue 77\n"
    monkeypatch.setattr(assembly, "build_trainer", original)
    again = experiment.run(configure(tmp_path, f"data.root={phantom}", "resume=auto"))
    assert (again / "report.html").exists()
    assert len(list((tmp_path / "attention_unet").iterdir())) == 1


def test_memory_saving_and_sizes_for_the_memory(phantom: Path, tmp_path: Path) -> None:
    options = ("trainer.auto_fit=true", "trainer.recompute=true", "queue.patch_size=auto")
    built = experiment.build(configure(tmp_path, f"data.root={phantom}", *options))
    assert min(built.cfg.queue.patch_size) >= 16
    assert built.cfg.queue.batch_size >= 2
    given = ("queue.patch_size=[16,16,16]", "queue.batch_size=2", "trainer.auto_fit=true")
    cfg = configure(tmp_path, f"data.root={phantom}", *given)
    with pytest.raises(ConfigError, match="nothing to choose"):
        experiment.build(cfg)


def test_two_runs_in_one_process_have_folders_of_their_own(phantom: Path, tmp_path: Path) -> None:
    """As with Hydra's `--multirun`, or in a notebook."""
    root = f"data.root={phantom}"
    first = experiment.build(configure(tmp_path, root, "name=a"))
    cfg = experiment.configure(*TINY, f"runs={tmp_path}", root, "name=b")
    second = experiment.build(cfg)  # the first run's folder is still announced to ranks
    assert (first.folder.parent.name, second.folder.parent.name) == ("a", "b")
    assert not second.resumed


def test_runs_of_one_second_have_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Still(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime(2026, 1, 2, 3, 4, 59)

    monkeypatch.setattr(runs, "datetime", Still)
    found = [runs.run_folder(configure(tmp_path, "name=a")) for _ in range(2)]
    assert [resumed for _, resumed in found] == [False, False]
    assert [folder.name for folder, _ in found] == ["2026-01-02_03-04-59", "2026-01-02_03-05-00"]
    assert all(folder.is_dir() for folder, _ in found)


def test_a_folder_given_from_outside_stays(
    phantom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = configure(tmp_path, f"data.root={phantom}", "split.test=0")
    given = tmp_path / "given"
    given.mkdir()
    monkeypatch.setenv(runs.RUN_VARIABLE, str(given))
    with pytest.raises(ConfigError, match="no test cases"):
        experiment.build(cfg)
    assert given.is_dir()


def test_a_run_limited_in_steps_goes_on_after_an_epoch(
    phantom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = ("trainer.max_epochs=100", "trainer.max_steps=10", "trainer.ema=0.9")
    options = (f"data.root={phantom}", *limits)
    whole = experiment.build(configure(tmp_path / "whole", *options))
    experiment.fit(whole)
    stopped = experiment.build(configure(tmp_path / "stopped", *options))
    stopped.trainer.callbacks.insert(0, InterruptAt(3))  # the last of an epoch's four
    with pytest.raises(InterruptedRunError):
        experiment.fit(stopped)
    resumed = experiment.build(configure(tmp_path / "stopped", *options, "resume=auto"))
    experiment.fit(resumed)
    tables = [pd.read_csv(one.folder / "metrics.csv") for one in (whole, resumed)]
    assert tables[0]["step"].tolist() == tables[1]["step"].tolist() == [4, 8, 10]
    first, second = weights(whole.folder), weights(resumed.folder)
    assert all(torch.equal(first[name], second[name]) for name in first)
