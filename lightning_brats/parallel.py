"""Processes, cores and Python's collector, the same way everywhere."""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
"""Where Linux tells a container its limits."""


def cores(cgroup: Path = CGROUP) -> int:
    """Cores this process may use; a scheduler or a container may allow fewer than there are.

    A container's quota (docker --cpus=2) counts if it is at least one core.
    """
    affinity = hasattr(os, "sched_getaffinity")
    allowed = len(os.sched_getaffinity(0)) if affinity else os.cpu_count() or 1
    quota, _, period = first_line(cgroup / "cpu.max").partition(" ")
    if quota.isdigit() and period.isdigit():
        return max(1, min(allowed, int(quota) // int(period)))
    return allowed


def first_line(path: Path) -> str:
    """Of a file of the system; empty where there is none."""
    try:
        return path.read_text().partition("\n")[0].strip()
    except OSError:  # no Linux, or an older one
        return ""


def process_pool(
    workers: int, initializer: Callable[[], None] | None = None
) -> ProcessPoolExecutor:
    """A pool for NumPy work, forked where the system can.

    Args:
        workers: Processes.
        initializer: Called in each of them first.

    Spawned workers would run a user's script or notebook cell once more unless it is guarded by
    `if __name__ == "__main__"`. What runs in the pool must not touch torch or the GPU.
    """
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    return ProcessPoolExecutor(workers, multiprocessing.get_context(method), initializer)


@contextmanager
def no_collection() -> Iterator[None]:
    """Without the cyclic collector, which would walk a growing list of cases again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
