"""A host's workers: sharing out its GPUs and cores, replacing killed ones, stopping together."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Mapping, Sequence
from typing import Any

from lightning_brats.errors import ConfigError
from lightning_brats.parallel import cores
from lightning_brats.sweeps.worker import BROKEN, DONE, FAILING, STOPPED, Slot, work

SHORT = 3.0
"""A worker that is killed sooner after its start, several times on end, is not replaced again."""
SHORT_LIVES = 5


def share_out(workers: int | None, gpus_per_trial: int, gpus: Sequence[str]) -> list[Slot]:
    """A slot a worker: GPUs of its own, and an equal share of the cores.

    Args:
        workers: How many; none: as many as there are GPUs for, or one.
        gpus_per_trial: For each.
        gpus: Names of those at hand, see `visible_gpus`.

    Raises:
        ConfigError: More is asked for than there is.
    """
    if gpus_per_trial < 1:
        raise ConfigError(f"gpus_per_trial={gpus_per_trial}: must be 1 at least")
    if gpus and (workers or 1) * gpus_per_trial > len(gpus):
        raise ConfigError(
            f"workers={workers or 1} with gpus_per_trial={gpus_per_trial} need more than the "
            f"{len(gpus)} GPUs of this host",
            remedy="fewer workers; workers=null takes as many as fit",
        )
    count = workers or max(1, len(gpus) // gpus_per_trial)
    if count < 1:
        raise ConfigError(f"workers={workers}: must be 1 at least")
    return [
        Slot(i, tuple(gpus[i * gpus_per_trial : (i + 1) * gpus_per_trial]), _cores(i, count))
        for i in range(count)
    ]


def visible_gpus() -> list[str]:
    """GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip() not in ("", "-1")]
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]


def _cores(number: int, workers: int) -> tuple[int, ...]:
    """Cores of one of several workers: what `auto` stands for in a trial then fits its share."""
    if workers == 1 or not hasattr(os, "sched_getaffinity"):
        return ()
    allowed = sorted(os.sched_getaffinity(0))
    each = max(1, min(cores(), len(allowed)) // workers)
    first = number * each % len(allowed)
    return tuple(allowed[first : first + each])


class Crew:
    """The workers of a host.

    Args:
        settings: Of the plan.
        slots: One a worker.
        past: Trials that had failed before.
    """

    def __init__(
        self, settings: Mapping[str, Any], slots: Sequence[Slot], past: frozenset[int]
    ) -> None:
        self.arguments = (dict(settings), past)
        self.slots = slots
        self.asked = 0
        self._context = multiprocessing.get_context("spawn")
        self._workers: dict[int, tuple[multiprocessing.process.BaseProcess, float]] = {}
        self._short = dict.fromkeys(range(len(slots)), 0)

    def run(self) -> int:
        """Work until nothing is left; the gravest status of a worker."""
        before = {n: signal.signal(n, self._ask) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            for slot in self.slots:
                self._hire(slot)
            return self._supervise()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _ask(self, *_: Any) -> None:
        """Pass a request to stop on; a second one stops trials at once, a third kills them."""
        self.asked += 1
        for process, _started in self._workers.values():
            if process.is_alive() and process.pid is not None:
                os.kill(process.pid, signal.SIGINT)

    def _hire(self, slot: Slot) -> None:
        settings, past = self.arguments
        process = self._context.Process(target=work, args=(settings, slot, past))
        process.start()
        self._workers[slot.number] = process, time.monotonic()

    def _supervise(self) -> int:
        found = {DONE}
        while self._workers:
            time.sleep(0.1)
            for number, (process, started) in list(self._workers.items()):
                if process.is_alive():
                    continue
                process.join()
                del self._workers[number]
                status = process.exitcode or 0
                killed = status < 0 and not self.asked
                if killed and self._may_return(number, started):
                    self._hire(self.slots[number])
                else:
                    found.add(BROKEN if status < 0 else status)
        if self.asked:
            return STOPPED
        return next(s for s in (FAILING, BROKEN, STOPPED, DONE) if s in found)

    def _may_return(self, number: int, started: float) -> bool:
        short = time.monotonic() - started < SHORT
        self._short[number] = self._short[number] + 1 if short else 0
        return self._short[number] < SHORT_LIVES
