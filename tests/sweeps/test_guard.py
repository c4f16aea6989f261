"""A trial ends with its worker, runs once at a time, and what it came to is not lost."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sweep_parts import alive

from lightning_brats.sweeps import guard


def start(folder: Path, *code: str) -> subprocess.Popen:
    python = [sys.executable, "-S", "-E", "-c", "\n".join(code)]
    files = [str(folder / "lock"), str(folder / "outcome.json")]
    return subprocess.Popen(
        [sys.executable, "-I", guard.__file__, *files, *python],
        stdin=subprocess.PIPE,
        start_new_session=True,
        cwd=folder,
    )


def written(path: Path) -> str:
    """Content of a file that another process writes."""
    deadline = time.monotonic() + 10
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return path.read_text()


def outcome(folder: Path) -> dict:
    return json.loads((folder / "outcome.json").read_text())


@pytest.mark.parametrize("status", [0, 7])
def test_the_exit_status_is_written_down(tmp_path: Path, status: int) -> None:
    process = start(tmp_path, f"raise SystemExit({status})")
    assert process.wait(10) == status
    assert outcome(tmp_path)["status"] == status


def test_a_crash_is_told_by_its_signal(tmp_path: Path) -> None:
    process = start(tmp_path, "import os", "os.kill(os.getpid(), 9)")
    assert process.wait(10) == 128 + 9
    assert outcome(tmp_path)["status"] == -9


SLEEPER = (
    "import os, subprocess, sys, time",
    "child = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(60)'])",
    "open('pids', 'w').write(f'{os.getpid()} {child.pid}')",
    "time.sleep(60)",
)


def test_when_the_worker_dies_the_trial_and_its_children_die(tmp_path: Path) -> None:
    process = start(tmp_path, *SLEEPER)
    pids = [int(pid) for pid in written(tmp_path / "pids").split()]
    assert process.stdin
    process.stdin.close()  # as the system does for a killed worker
    process.wait(10)
    deadline = time.monotonic() + 5
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(alive(pid) for pid in pids)
    assert not (tmp_path / "outcome.json").exists()


def test_a_request_to_stop_reaches_the_trial_and_leaves_no_outcome(tmp_path: Path) -> None:
    process = start(
        tmp_path,
        "import signal, sys, time",
        "signal.signal(signal.SIGINT, lambda *_: (open('asked', 'w').write('yes'), sys.exit(130)))",
        "open('ready', 'w').write('yes')",
        "time.sleep(60)",
    )
    written(tmp_path / "ready")
    assert process.stdin
    process.stdin.write(guard.STOP)
    process.stdin.flush()
    assert process.wait(10) == 130
    assert (tmp_path / "asked").exists()
    assert not (tmp_path / "outcome.json").exists()


def test_a_second_guard_waits_for_the_first(tmp_path: Path) -> None:
    first = start(tmp_path, "import time", "open('ready', 'w').write('yes')", "time.sleep(0.4)")
    written(tmp_path / "ready")
    second = start(tmp_path, "open('second', 'w').write('ran')")
    assert first.wait(10) == 0
    assert second.wait(10) == 0
    assert not (tmp_path / "second").exists()  # the first had come to an end: nothing is left


def test_signals_to_the_guard_do_not_orphan_the_trial(tmp_path: Path) -> None:
    process = start(tmp_path, *SLEEPER)
    pids = [int(pid) for pid in written(tmp_path / "pids").split()]
    process.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    assert process.poll() is None
    os.kill(pids[0], signal.SIGKILL)
    process.wait(10)
    assert outcome(tmp_path)["status"] == -9
    assert not alive(pids[1])
