"""Sweeps as a user starts, stops, kills and continues them; the trials are fake ones."""

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from sweep_parts import QUICK, alive, call, command, environment, plan_of, runs

from lightning_brats.sweeps.ledger import Ledger
from lightning_brats.sweeps.worker import STOPPED

GRID = "grid={x:[0.1,0.7,0.4]}"
HANGING = 'grid=[["x=1","hang=60"],["x=2"]]'  # hangs when it runs for the first time


def start(folder: Path, *overrides: str) -> subprocess.Popen:
    return subprocess.Popen(
        command("run.py", *QUICK, *overrides),
        cwd=folder,
        stdout=(folder / "out.txt").open("a"),
        stderr=subprocess.STDOUT,
        env=environment(),
        start_new_session=True,
    )


def wait_for(folder: Path, event: str, count: int = 1) -> None:
    deadline = time.monotonic() + 60
    while sum(name == event for name, _ in runs(folder)) < count:
        assert time.monotonic() < deadline, (folder.parent.parent / "out.txt").read_text()
        time.sleep(0.02)


def worker_of(process: subprocess.Popen) -> psutil.Process:
    """The worker that holds a trial: it has a guard for a child."""
    children = psutil.Process(process.pid).children(recursive=True)
    guard = next(c for c in children if any("guard.py" in word for word in c.cmdline()))
    found = guard.parent()
    assert found
    return found


def test_a_grid_from_beginning_to_end(tmp_path: Path) -> None:
    done = call("run.py", tmp_path, GRID, "workers=2")
    assert done.returncode == 0, done.stdout + done.stderr
    folder = tmp_path / "runs" / "study"
    assert "3 cells, 0 over, 3 new" in done.stdout
    assert "best: trial 1, 0.7" in done.stdout
    assert "python experiments/compare.py runs=runs/study" in done.stdout
    names = ["trial-0000", "trial-0001", "trial-0002"]
    assert sorted(path.name for path in folder.glob("trial-????")) == names
    assert "$ " in (folder / "trial-0001.log").read_text()
    assert sorted(runs(folder)) == sorted((e, name) for e in ("start", "end") for name in names)
    status = call("status.py", tmp_path, GRID, "watch=false")
    assert "study: 3 done" in status.stdout
    assert "x=0.7" in status.stdout


def test_a_killed_worker_s_trial_goes_on_in_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "study"
    process = start(tmp_path, HANGING)
    wait_for(folder, "start")
    worker = worker_of(process)
    trial = [c.pid for c in worker.children(recursive=True)]
    worker.kill()
    assert process.wait(60) == 0, (tmp_path / "out.txt").read_text()
    assert not any(alive(pid) for pid in trial)
    events = runs(folder)
    assert ("twice", "trial-0000") not in events
    assert [e for e in events if e[1] == "trial-0000"] == [
        ("start", "trial-0000"),
        ("start", "trial-0000"),
        ("end", "trial-0000"),
    ]
    text = (tmp_path / "out.txt").read_text()
    assert "2 done" in text
    assert "done (try 2)" in text


def test_ctrl_c_puts_trials_back_and_the_same_command_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "study"
    process = start(tmp_path, HANGING)
    wait_for(folder, "start")
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == STOPPED
    text = (tmp_path / "out.txt").read_text()
    assert "2 waiting" in text
    assert "go on with: python" in text
    done = call("run.py", tmp_path, HANGING)
    assert done.returncode == 0, done.stderr
    assert "2 done" in done.stdout
    assert sum(event == "end" for event, _ in runs(folder)) == 2
    assert not [event for event, _ in runs(folder) if event == "twice"]


@pytest.mark.slow
def test_when_the_command_is_killed_its_workers_stop_and_put_back(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "study"
    process = start(tmp_path, HANGING)
    wait_for(folder, "start")
    worker = worker_of(process)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 30
    while alive(worker.pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    found = Ledger(plan_of(tmp_path / "runs", HANGING, "storage=null")).entries()
    assert [entry.state for entry in found] == ["waiting", "waiting"]
    assert [entry.kills for entry in found] == [0, 0]


@pytest.mark.slow
def test_gpus_are_shared_out(tmp_path: Path) -> None:
    done = call("run.py", tmp_path, "grid={x:[1,2]}", gpus="5,7")
    assert done.returncode == 0, done.stderr
    assert "2 (GPUs 5, 7)" in done.stdout
    folder = tmp_path / "runs" / "study"
    for run in folder.glob("trial-????"):
        lines = (run / "environment").read_text().splitlines()
        assert {"CUDA_VISIBLE_DEVICES=5", "CUDA_VISIBLE_DEVICES=7"} & set(lines)


def test_without_a_sweep_it_lists_what_there_is(tmp_path: Path) -> None:
    typed = command("run.py", "name=x")
    done = subprocess.run(typed, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "architectures, attention_unet, augmentations" in done.stderr
