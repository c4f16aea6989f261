"""Processes and cores, the same way everywhere."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor


def cores() -> int:
    """Cores this process may use; a scheduler or a container may allow fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
