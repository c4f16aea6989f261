"""The queue, what is kept, and temporary files."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lightning_brats.app.jobs import Job, Queue
from lightning_brats.app.kept import Kept
from lightning_brats.app.workspace import PREFIX, Workspaces, clear_abandoned
from lightning_brats.errors import ConfigError, DataError


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_one_at_a_time_and_everybody_sees_their_place() -> None:
    queue, gate, running = Queue(waiting=4), threading.Event(), []

    def work(job: Job) -> str:
        running.append(job.owner)
        gate.wait(5)
        return job.owner

    jobs = [queue.submit(name, work) for name in "abc"]
    until(lambda: running == ["a"])
    assert [queue.before(job) for job in jobs] == [0, 1, 2]
    assert [job.state for job in jobs] == ["running", "waiting", "waiting"]
    gate.set()
    until(lambda: all(job.is_over for job in jobs))
    assert [job.result for job in jobs] == ["a", "b", "c"]
    assert running == ["a", "b", "c"]


def test_the_line_has_an_end_and_a_visitor_one_place_in_it() -> None:
    queue, gate = Queue(waiting=1), threading.Event()
    first = queue.submit("a", lambda job: gate.wait(5))
    until(lambda: first.state == "running")
    with pytest.raises(ConfigError, match="still running"):
        queue.submit("a", lambda job: None)
    queue.submit("b", lambda job: None)
    with pytest.raises(ConfigError, match="waiting already"):
        queue.submit("c", lambda job: None)
    gate.set()


def test_cancelling_stops_at_the_next_step_and_at_once_in_the_line() -> None:
    queue, steps = Queue(waiting=4), []

    def work(job: Job) -> None:
        for step in range(1000):
            job.at("step", step / 1000)
            steps.append(step)
            time.sleep(0.005)

    running = queue.submit("a", work)
    waiting = queue.submit("b", work)
    until(lambda: len(steps) > 1)
    queue.cancel("b")
    assert waiting.state == "cancelled"
    queue.cancel("a")
    until(lambda: running.is_over)
    assert (running.state, running.result) == ("cancelled", None)
    assert len(steps) < 900


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (DataError("bad", remedy="mend it"), "bad"),
        (MemoryError(), "not enough memory"),
        (ZeroDivisionError("secret"), "something unexpected happened (ZeroDivisionError)"),
    ],
)
def test_a_failure_is_a_message_and_the_next_job_runs(error: Exception, problem: str) -> None:
    queue = Queue(waiting=2)

    def fail(job: Job) -> None:
        raise error

    failed = queue.submit("a", fail)
    until(lambda: failed.is_over)
    assert failed.state == "failed"
    assert problem in failed.problem
    assert failed.remedy
    assert "secret" not in failed.problem
    following = queue.submit("a", lambda job: 5)
    until(lambda: following.is_over)
    assert following.result == 5


def test_no_more_results_are_kept_than_allowed() -> None:
    kept = Kept(2)
    kept.put("a", "x", 1)
    kept.put("b", "x", 2)
    kept.put("b", "x", 3)
    assert kept.get("a", "x") == 1  # and is now the one used last
    kept.put("c", "x", 4)
    assert [kept.get(name, "x") for name in "abc"] == [1, None, 4]
    kept.drop("a")
    assert kept.get("a", "x") is None


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_files_of_a_session_go_when_it_ends(temporary: Path) -> None:
    alive = {"a", "b"}
    ended: list[str] = []
    spaces = Workspaces(alive.__contains__, grace=0.02)
    spaces.on_end(ended.append)
    for name in "ab":
        (spaces.folder(name) / "scan.nii").write_bytes(b"x")
    assert spaces.sweep() == []
    alive.remove("a")
    time.sleep(0.03)
    assert spaces.sweep() == ["a"] == ended
    assert {path.name for path in spaces.root.iterdir()} == {"b"}
    spaces.close()
    assert not list(temporary.iterdir())


def test_a_page_that_is_loaded_again_keeps_its_files(temporary: Path) -> None:
    alive: set[str] = set()
    spaces = Workspaces(alive.__contains__, grace=60)
    spaces.folder("a")
    assert spaces.sweep() == []
    spaces.close()


def test_only_its_user_may_read_the_folder(temporary: Path) -> None:
    spaces = Workspaces(lambda name: True)
    assert spaces.root.stat().st_mode & 0o077 == 0
    spaces.close()


def test_files_go_at_exit(tmp_path: Path) -> None:
    program = (
        "from lightning_brats.app.workspace import Workspaces\n"
        "(Workspaces(lambda name: True).folder('a') / 'scan.nii').write_bytes(b'x')\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=60)
    assert not list(tmp_path.iterdir())


def test_what_a_killed_app_left_goes_at_the_next_start(temporary: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = temporary / f"{PREFIX}{dead.pid}_x"
    own = temporary / f"{PREFIX}{os.getpid()}_y"
    other = temporary / "somebody_elses"
    for folder in (left, own, other):
        folder.mkdir()
    assert clear_abandoned() == [left]
    assert {own, other} == set(temporary.iterdir())
