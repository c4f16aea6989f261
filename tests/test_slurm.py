"""A SLURM job whose time is nearly up goes back into the queue, whatever it is doing."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from lightning_brats import experiment, slurm

QUIET = "ignore:.*srun.*"


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a false `scontrol` writes what it is asked."""
    tool = tmp_path / "scontrol"
    tool.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv(slurm.JOB, "77")
    return tmp_path / "asked"


def test_the_signal_requeues_and_ends_the_process(
    asked: Path, capsys: pytest.CaptureFixture
) -> None:
    before = signal.getsignal(signal.SIGUSR1)
    with pytest.raises(SystemExit) as error, slurm.requeued_by_signal():
        os.kill(os.getpid(), signal.SIGUSR1)
    assert error.value.code == 130
    assert asked.read_text() == "requeue 77\n"
    assert "SLURM job 77 is back in the queue" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGUSR1) == before


def test_an_array_s_job_is_named_as_such(asked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "70")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    slurm.requeue()
    assert asked.read_text() == "requeue 70_3\n"


def test_the_first_process_asks_for_all(asked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    with slurm.requeued_by_signal():
        os.kill(os.getpid(), signal.SIGUSR1)
    assert not asked.exists()


def test_without_slurm_the_signal_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(slurm.JOB, raising=False)
    before = signal.getsignal(signal.SIGUSR1)
    with slurm.requeued_by_signal():
        assert signal.getsignal(signal.SIGUSR1) == before


@pytest.mark.filterwarnings(QUIET)
def test_lightning_does_not_requeue_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_NTASKS", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    assert slurm.environment() == []
    monkeypatch.setenv("SLURM_NTASKS", "1")
    monkeypatch.setenv("SLURM_JOB_NAME", "brats")
    (environment,) = slurm.environment()
    assert not environment.auto_requeue
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")  # torchrun within a job names the ranks
    assert slurm.environment() == []


def test_a_run_that_still_prepares_goes_back_into_the_queue(
    asked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiment, "build", lambda _: os.kill(os.getpid(), signal.SIGUSR1))
    with pytest.raises(SystemExit):
        experiment.run(OmegaConf.create())
    assert asked.read_text() == "requeue 77\n"
