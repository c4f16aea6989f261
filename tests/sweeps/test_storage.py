"""Kinds of storage, and what is said where one cannot be had."""

import importlib.util
import multiprocessing
import time
from pathlib import Path

import optuna
import pytest

from lightning_brats.errors import ConfigError
from lightning_brats.sweeps.storage import FileLock, open_storage, patiently, shown_url


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_a_study_is_found_again(tmp_path: Path, kind: str) -> None:
    url = f"{kind}:///{tmp_path / 'deep' / 'study.db'}"
    study = optuna.create_study(storage=open_storage(url), study_name="one")
    study.tell(study.ask(), 0.5)
    assert optuna.load_study(storage=open_storage(url), study_name="one").best_value == 0.5


def test_what_cannot_be_opened_is_said_without_its_password() -> None:
    with pytest.raises(ConfigError, match="no known kind") as caught:
        open_storage("oracle://me:secret@host/db")
    assert "secret" not in str(caught.value)
    assert shown_url("postgresql://me:secret@host/db") == "postgresql://me:***@host/db"


@pytest.mark.parametrize(
    ("url", "package"),
    [("postgresql://host/db", "psycopg"), ("mysql://host/db", "pymysql"), ("grpc://a:1", "grpc")],
)
def test_a_missing_driver_is_named(url: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=rf"{package}[\s\S]*lightning-brats\[sweeps\]"):
        open_storage(url)


def hold(path: Path, ready: Path) -> None:
    FileLock(path).acquire()
    ready.write_text("yes")
    time.sleep(60)


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    journal, ready = tmp_path / "study.log", tmp_path / "ready"
    process = multiprocessing.get_context("spawn").Process(target=hold, args=(journal, ready))
    process.start()
    while not ready.exists():
        time.sleep(0.01)
    process.kill()
    process.join()
    started = time.monotonic()
    lock = FileLock(journal)
    assert lock.acquire()
    lock.release()
    assert time.monotonic() - started < 1


def test_a_server_that_is_away_is_waited_for() -> None:
    answers = [optuna.exceptions.StorageInternalError("away"), 7]

    def ask() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert patiently(ask) == 7
    with pytest.raises(ZeroDivisionError):
        patiently(lambda: 1 // 0)
