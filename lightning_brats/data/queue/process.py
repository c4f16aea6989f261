"""What a worker process does: cut patches into the ring until the trainer ends it or is gone."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import pickle
import signal
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import SimpleITK as sitk
import torch

from lightning_brats.data.patches import PatchDataset
from lightning_brats.data.queue.cutting import cut
from lightning_brats.data.queue.ring import Ring
from lightning_brats.data.sampling import PatchRequest
from lightning_brats.errors import BratsError

PARENT_CHECK = 0.5
"""Seconds between a worker's looks at whether the trainer still lives."""


def serve(
    dataset: PatchDataset,
    ring: Ring,
    tasks: tuple[Connection, Any],
    results: Connection,
    number: int,
    parent: int,
) -> None:
    """Serve `tasks` (generation, number, slot, request) with (number, slot, facts or error).

    Args:
        dataset: Cuts the patches.
        ring: Where they go.
        tasks: Pipe that all workers take from, and its lock.
        results: This worker's way back.
        number: Of this worker.
        parent: Process number of the trainer.
    """
    leave_interrupts_to_the_trainer(number)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as well; what ends this process is SIGKILL
    _offer_to_the_memory_killer()
    gc.freeze()  # or its search for garbage would copy the trainer's memory, page by page
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()
    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)  # some of TorchIO's transforms use it
    pipe, lock = tasks
    while True:
        with lock:
            task = pipe.recv_bytes()
        generation, asked, slot, request = pickle.loads(task)
        reply: Any = None
        if generation == int(ring.generation):
            ring.current[number] = asked
            reply = _into(ring, slot, dataset, request)
        results.send_bytes(pickle.dumps((asked, slot, reply)))


def leave_interrupts_to_the_trainer(number: int) -> None:
    """Ctrl-C reaches every process of a terminal, but the trainer first finishes what it is at.

    Args:
        number: Of the worker.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _into(ring: Ring, slot: int, dataset: PatchDataset, request: PatchRequest) -> Any:
    """Cut a patch into its slot; its facts, or what went wrong."""
    try:
        patch = cut(dataset, request)
    except BratsError as error:
        return error
    ring.image[slot].copy_(patch.image)
    ring.mask[slot].copy_(patch.mask)
    return patch.facts


def _offer_to_the_memory_killer() -> None:
    """Be the first to go when memory runs out, so that the trainer lives to say so."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


def _leave_with(parent: int) -> None:
    """End this process when the trainer is gone, however it went."""
    original = multiprocessing.parent_process()
    while os.getppid() == parent and (original is None or original.is_alive()):
        time.sleep(PARENT_CHECK)
    os._exit(1)
