"""What several launched processes agree on."""

import os
import socket
import subprocess
import sys

import pytest

from lightning_brats.errors import ConfigError
from lightning_brats.ranks import launched, shared

NAMES = (
    "RANK",
    "WORLD_SIZE",
    "TORCHELASTIC_RUN_ID",
    "SLURM_PROCID",
    "SLURM_NTASKS",
    "SLURM_STEP_ID",
    "SLURM_JOB_NAME",
)
CODE = """
import os
from lightning_brats.errors import BratsError
from lightning_brats.ranks import shared
def decide():
    assert os.environ["RANK"] == "0"
    if os.environ["FAILS"] == "1":
        raise BratsError("no such run")
    return ["runs/x", False]
try:
    print(shared(decide))
except BratsError as error:
    print(error)
"""


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def outputs(fails: bool) -> list[str]:
    port = free_port() - 1  # the meeting point is one port further
    common = os.environ | {
        "WORLD_SIZE": "3",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "FAILS": str(int(fails)),
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CODE],
            env=common | {"RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(3)
    ]
    return [process.communicate(timeout=120)[0].strip() for process in processes]


def test_all_take_what_the_first_decides() -> None:
    assert outputs(fails=False) == ["['runs/x', False]"] * 3


def test_its_failure_ends_all() -> None:
    first, *others = outputs(fails=True)
    assert first == "no such run"
    assert others == ["process 0 could not start: no such run"] * 2


def test_one_process_decides_alone() -> None:
    assert launched() == (0, 1)
    assert shared(lambda: 3) == 3


def test_torchrun_and_srun_tell_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_PROCID", "1")
    monkeypatch.setenv("SLURM_NTASKS", "4")
    assert launched() == (0, 1)  # a batch script, which is no step of its job
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    assert launched() == (1, 4)
    monkeypatch.setenv("SLURM_JOB_NAME", "interactive")
    assert launched() == (0, 1)
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert launched() == (2, 8)


def test_torchrun_in_a_step_of_srun_numbers_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("STEP_ID", "0"), ("PROCID", "1"), ("NTASKS", "2")):
        monkeypatch.setenv(f"SLURM_{name}", value)
    for name, value in (("RANK", "5"), ("WORLD_SIZE", "8"), ("TORCHELASTIC_RUN_ID", "x")):
        monkeypatch.setenv(name, value)
    assert launched() == (5, 8)


def test_an_address_that_nobody_has_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "99999")
    with pytest.raises(ConfigError, match="cannot be reached"):
        shared(lambda: 1)
