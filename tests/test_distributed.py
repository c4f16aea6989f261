"""Several processes, and processes that are killed: the numbers stay those of one that is not."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from test_commands import ROOT, call, command
from test_experiment import TINY

from lightning_brats.data.phantom import write_phantom
from lightning_brats.runs import LAST, RUN_VARIABLE

DDP = ("trainer.devices=2", "trainer.strategy=ddp", "trainer.accelerator=cpu")


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "phantom"
    return write_phantom(root, layout="brats2021", cases=6, spacing=6.0)


def run_of(folder: Path) -> Path:
    """The only run in a working folder."""
    (run,) = (folder / "runs" / "attention_unet").iterdir()
    return run


def finished(folder: Path, *arguments: str) -> Path:
    folder.mkdir()
    done = call("run.py", *TINY, *arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    return run_of(folder)


def stopped(folder: Path, *arguments: str) -> Path:
    """A run that is asked to stop once an epoch is in its table."""
    folder.mkdir()
    process = subprocess.Popen(
        command("run.py", *TINY, *arguments),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    until_trained(process, folder, epochs=1)
    process.terminate()
    assert process.wait(60)
    run = run_of(folder)
    assert not (run / "report.html").exists()
    return run


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / LAST, weights_only=True)["state_dict"]


@pytest.mark.slow
def test_two_ranks_train_as_one_with_the_doubled_batch(phantom: Path, tmp_path: Path) -> None:
    """They take the same patches step by step, each of them once, and average their gradients."""
    common = (f"data.root={phantom}", "augmentation=none", "trainer.max_epochs=3")
    one = finished(tmp_path / "one", *common, "queue.batch_size=4")
    two = finished(tmp_path / "two", *common, "queue.batch_size=2", *DDP)
    first, second = (pd.read_csv(run / "metrics.csv") for run in (one, two))
    assert first["step"].tolist() == second["step"].tolist()
    assert np.allclose(first["train/loss"], second["train/loss"], atol=1e-4)
    assert np.allclose(first["val/dice_mean"], second["val/dice_mean"], atol=1e-3)


@pytest.mark.slow
def test_torchrun_s_processes_share_a_run(phantom: Path, tmp_path: Path) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    script = str(ROOT / "experiments" / "run.py")
    environment = {k: v for k, v in os.environ.items() if k != RUN_VARIABLE}
    done = subprocess.run(
        [*launcher, script, f"data.root={phantom}", *TINY, *DDP],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert (run_of(tmp_path) / "report.html").exists()
    assert done.stdout.count("report.html") == 1


def killed(process: subprocess.Popen, folder: Path, epochs: int) -> Path:
    """End a run without a word once so many epochs are in its table."""
    until_trained(process, folder, epochs)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return run_of(folder)


def until_trained(process: subprocess.Popen, folder: Path, epochs: int) -> None:
    """Wait until so many epochs are in the run's table."""
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        tables = list(folder.rglob("metrics.csv"))
        if tables and len(pd.read_csv(tables[0])) >= epochs:
            return
        assert process.poll() is None
        time.sleep(0.02)


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_weights(phantom: Path, tmp_path: Path) -> None:
    """Dropout, augmentation, averaged weights and the schedule among what has to go on."""
    options = (
        f"data.root={phantom}",
        "model.dropout=0.2",
        "augmentation=standard",
        "trainer.ema=0.9",
        "trainer.max_epochs=6",
    )
    whole = finished(tmp_path / "whole", *options)
    folder = tmp_path / "killed"
    folder.mkdir()
    process = subprocess.Popen(
        command("run.py", *TINY, *options),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    run = killed(process, folder, epochs=2)
    assert not (run / "report.html").exists()
    assert len(pd.read_csv(run / "metrics.csv")) < 6
    done = call("run.py", *TINY, *options, "resume=auto", cwd=folder)
    assert done.returncode == 0, done.stderr
    first, second = weights(whole), weights(run_of(folder))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
def test_two_ranks_go_on_as_two_or_as_one(phantom: Path, tmp_path: Path) -> None:
    """From within an epoch: they ask each other after the tenth of its twelve steps."""
    epochs = ("queue.patches_per_volume=12", "trainer.max_epochs=3", "trainer.accelerator=cpu")
    common = (f"data.root={phantom}", "augmentation=none", *epochs)
    two, one = ("queue.batch_size=2", *DDP[:2]), ("queue.batch_size=4",)
    whole = finished(tmp_path / "whole", *common, *two)
    half = stopped(tmp_path / "stopped", *common, *two)
    other = shutil.copytree(half, tmp_path / "other")
    for run, devices in ((half, two), (other, one)):
        done = call("run.py", *TINY, *common, *devices, f"resume={run}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    first, second = weights(whole), weights(half)
    assert all(torch.equal(first[name], second[name]) for name in first)
    tables = [pd.read_csv(run / "metrics.csv") for run in (whole, other)]
    assert tables[0]["step"].tolist() == tables[1]["step"].tolist()
    last, again = (table.iloc[-1] for table in tables)
    assert last["lr"] == again["lr"]
    assert last["train/loss"] == pytest.approx(again["train/loss"], abs=1e-4)
    assert last["val/dice_mean"] == pytest.approx(again["val/dice_mean"], abs=1e-3)


@pytest.mark.slow
def test_two_ranks_leave_an_output_of_weight_0_out(phantom: Path, tmp_path: Path) -> None:
    options = (f"data.root={phantom}", "trainer.deep_supervision=[1,0]")
    run = finished(tmp_path / "two", *options, *DDP)
    assert pd.read_csv(run / "metrics.csv")["step"].tolist() == [2, 4]


@pytest.mark.slow
def test_two_ranks_train_compiled_as_they_do_without(phantom: Path, tmp_path: Path) -> None:
    losses = []
    for name, compiled in (("plain", "false"), ("compiled", "true")):
        given = (*DDP, f"data.root={phantom}", f"trainer.compile={compiled}")
        run = finished(tmp_path / name, *given)
        losses.append(pd.read_csv(run / "metrics.csv")["train/loss"].to_numpy())
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)
