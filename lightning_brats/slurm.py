"""Under SLURM: back into the queue when the job's time is up, and what Lightning leaves to us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from lightning_fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from lightning_brats.cli import STATUS

JOB = "SLURM_JOB_ID"


def environment() -> list[SLURMEnvironment]:
    """SLURM as Lightning is to take it where it would by itself; otherwise nothing.

    Its own handler of SIGUSR1 has all ranks save together at once, wherever each of them is, and
    they wait for each other for ever.
    """
    if TorchElasticEnvironment.detect() or not SLURMEnvironment.detect():
        return []
    return [SLURMEnvironment(auto_requeue=False)]


@contextmanager
def requeued_by_signal() -> Iterator[None]:
    """Meanwhile SIGUSR1 puts this process's SLURM job back into the queue and ends the process.

    For what a run does before and after training, during which `SafeStop` takes the signal: what is
    prepared or trained stays, and `resume=auto` goes on from there. Without SLURM, and in threads,
    which cannot take signals, nothing changes.
    """
    if JOB not in os.environ or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGUSR1, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


def requeue() -> None:
    """Put this SLURM job back into the queue, where it gets the same number again."""
    job = os.environ[JOB]
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    try:
        done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True)
        problem = done.stderr.strip() if done.returncode else ""
    except OSError as error:
        problem = str(error)
    if problem:
        print(f"SLURM job {job} could not be put back into the queue: {problem}", file=sys.stderr)
    else:
        print(f"SLURM job {job} is back in the queue", file=sys.stderr)


def _leave(number: int, frame: FrameType | None) -> None:
    """The first process asks for all; the others end with their job."""
    if getattr(rank_zero_only, "rank", 0):
        return
    signal.signal(number, signal.SIG_IGN)
    print("\nThe job's time is nearly up; what is done so far stays.", file=sys.stderr)
    requeue()
    sys.exit(STATUS["InterruptedRunError"])
