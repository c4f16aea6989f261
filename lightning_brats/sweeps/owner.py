"""Who carries a trial out, and whether that worker still lives."""

from __future__ import annotations

import os
import platform
import time
import uuid
from collections.abc import Hashable
from pathlib import Path
from typing import Any, Literal

import psutil
from optuna.trial import FrozenTrial

Verdict = Literal["alive", "dead", "unknown"]
OWNER, BEAT = "owner", "beat"
"""User attributes of a trial."""


def identify() -> dict[str, Any]:
    """This process, so that another can tell later whether it is still there."""
    process = psutil.Process()
    return {
        "place": place(),
        "host": platform.node(),
        "pid": process.pid,
        "started": process.create_time(),
        "token": uuid.uuid4().hex[:12],
    }


def place() -> str:
    """Where process numbers mean the same: one start of one kernel, one container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # no Linux
        return platform.node()


class Watch:
    """Tells dead workers from living ones.

    On the same host the system knows. Of other hosts' workers the beat has to change within the
    grace period, by this process's own clock: hosts' clocks may differ.

    Args:
        grace: Seconds without a beat after which a worker counts as dead.
    """

    def __init__(self, grace: float) -> None:
        self.grace = grace
        self._here = place()
        self._seen: dict[int, tuple[Hashable, float, bool]] = {}

    def judge(self, trial: FrozenTrial) -> Verdict:
        """Whether the worker of a running trial lives; `unknown` until it was watched a while."""
        owner = trial.user_attrs.get(OWNER)
        if owner is not None and owner["place"] == self._here:
            return "alive" if _runs(owner["pid"], owner["started"]) else "dead"
        beat = (owner and owner["token"], trial.user_attrs.get(BEAT))
        last, since, moved = self._seen.get(trial.number, (None, 0.0, False))
        if last is None or last != beat:
            self._seen[trial.number] = (beat, time.monotonic(), last is not None)
            return "unknown" if last is None else "alive"
        if time.monotonic() - since > self.grace:
            return "dead"
        return "alive" if moved else "unknown"


def _runs(pid: int, started: float) -> bool:
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - started) < 1  # numbers are used again
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
