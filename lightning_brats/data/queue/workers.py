"""Processes that cut patches into memory which they share with the trainer.

The memory is one ring of slots, made once; what goes through pipes is a few hundred bytes a patch.
No tensor is sent, so none needs a file descriptor, fresh pages or room in `/dev/shm`, which
containers keep at 64 MB: the ring is anonymous memory that forked processes inherit.

Requests lie in one pipe from which idle workers help themselves, so that a slow patch holds up
nobody; patches come out in the order of the requests.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
from collections.abc import Iterator, Sequence
from multiprocessing import util
from multiprocessing.connection import Connection, wait
from typing import Any

with contextlib.suppress(ImportError):  # not on Windows
    import fcntl

from lightning_brats.data.patches import PatchDataset
from lightning_brats.data.queue.cutting import Patch, WorkerError, case_name
from lightning_brats.data.queue.process import serve
from lightning_brats.data.queue.ring import Ring
from lightning_brats.data.sampling import PatchRequest
from lightning_brats.errors import BratsError, ConfigError

TASK_BYTES = 256
"""More than a request takes in a pipe. So many are handed out as its pipe holds, and no more, or
the trainer could wait for workers to take a request while they wait for it to take a patch."""


class PatchWorkers:
    """Worker processes over a ring; patches come out in the order in which they were asked for.

    Args:
        dataset: Cuts the patches.
        count: Processes.
        slots: Patches that are being cut or wait to be taken.

    Raises:
        ConfigError: The system refuses processes, locks or memory.
    """

    def __init__(self, dataset: PatchDataset, count: int, slots: int) -> None:
        self.dataset = dataset
        method = "fork" if sys.platform == "linux" else None
        context: Any = multiprocessing.get_context(method)
        self._processes: list[Any] = []
        self._results: list[Connection] = []
        # Before `multiprocessing` itself would end them, with a signal that they do not heed.
        ends = (self._processes, self._results)
        self._end = util.Finalize(self, _kill, ends, exitpriority=10)
        try:
            self._ring = Ring(slots, dataset.channels, dataset.patch_size, count)
            tasks, self._tasks = context.Pipe(duplex=False)
            self._limit = max(1, _pipe_bytes(self._tasks) // TASK_BYTES)
            lock = context.Lock()
            for number in range(count):
                found, result = context.Pipe(duplex=False)
                arguments = (dataset, self._ring, (tasks, lock), result, number, os.getpid())
                process = context.Process(target=serve, args=arguments, daemon=True)
                self._results.append(found)
                self._processes.append(process)
                process.start()
                result.close()
        except OSError as error:
            self._end()
            raise ConfigError(
                f"the patch workers cannot be started: {error}",
                remedy="lower queue.workers or queue.max_bytes, or raise the limits of the system",
            ) from error
        self._free = list(range(slots))
        self._asked = self._head = 0
        self._open: dict[int, PatchRequest] = {}
        self._arrived: dict[int, tuple[int, Any]] = {}
        self._failed: dict[int, BratsError] = {}

    @property
    def pids(self) -> list[int]:
        """Process numbers of the workers."""
        return [process.pid for process in self._processes]

    def ready(self) -> int:
        """Patches that wait to be taken.

        Raises:
            WorkerError: A worker died.
        """
        self._receive(block=False)
        return len(self._arrived)

    def raise_failure(self, within: int) -> None:
        """Raise what went wrong in one of the next `within` patches, as far as that is known."""
        for asked, error in self._failed.items():
            if asked < self._head + within:
                raise error

    def ask(self, requests: Iterator[PatchRequest]) -> None:
        """Hand out requests for as many patches as there is room."""
        while self._free and len(self._open) < self._limit:
            request, slot = next(requests), self._free.pop()
            self._open[self._asked] = request
            task = (int(self._ring.generation), self._asked, slot, request)
            self._tasks.send_bytes(pickle.dumps(task))
            self._asked += 1

    def take(self, requests: Iterator[PatchRequest]) -> Patch:
        """The next patch, waiting for it; `release` it once it is copied.

        Raises:
            BratsError: The patch could not be cut, or a worker died.
        """
        self.ask(requests)
        while self._head not in self._arrived:
            self._receive(block=True)
            self.ask(requests)
        slot, found = self._arrived.pop(self._head)
        self._head += 1
        if isinstance(found, BratsError):
            raise found
        return Patch(self._ring.image[slot], self._ring.mask[slot], found, slot)

    def release(self, patch: Patch) -> None:
        """Let the patch's slot be used again."""
        self._free.append(patch.slot)

    def forget(self) -> None:
        """Drop all that was asked for; patches that are being cut come in and are thrown away."""
        self._ring.generation += 1
        self._head = self._asked
        self._free += [slot for slot, _ in self._arrived.values()]
        self._arrived, self._failed = {}, {}

    def close(self) -> None:
        """End the workers at once."""
        self._end()

    def _receive(self, block: bool) -> None:
        sentinels = {process.sentinel: n for n, process in enumerate(self._processes)}
        found = wait([*self._results, *sentinels], None if block else 0)
        dead = [sentinels[item] for item in found if isinstance(item, int)]
        for connection in found:
            if isinstance(connection, Connection):
                try:
                    while connection.poll():
                        self._sort(*pickle.loads(connection.recv_bytes()))
                except (EOFError, OSError):
                    dead.append(self._results.index(connection))
        if dead:
            raise self._death(dead[0])

    def _sort(self, asked: int, slot: int, reply: Any) -> None:
        """Keep a patch, unless it was forgotten."""
        del self._open[asked]
        if asked < self._head:
            self._free.append(slot)
            return
        self._arrived[asked] = (slot, reply)
        if isinstance(reply, BratsError):
            self._failed[asked] = reply

    def _death(self, number: int) -> WorkerError:
        process = self._processes[number]
        process.join(1)
        code = process.exitcode
        how, remedy = f"ended with status {code}", "run again with queue.workers=0 to see where"
        if code is not None and code < 0:
            how = f"was killed by {signal.Signals(-code).name}"
            remedy = "memory ran out, most likely: lower queue.workers or queue.patch_size"
            if -code == signal.SIGBUS:
                remedy = "a prepared file was shortened: python experiments/prepare.py verify=true"
        request = self._open.get(int(self._ring.current[number]))
        if request is None:
            return WorkerError(f"patch worker {number} {how}", remedy=remedy)
        name = case_name(self.dataset, request)
        problem = f"patch worker {number} {how} while it cut a patch"
        return WorkerError(problem, case=name, remedy=remedy)


def _pipe_bytes(connection: Connection) -> int:
    try:
        return fcntl.fcntl(connection.fileno(), fcntl.F_GETPIPE_SZ)
    except (NameError, AttributeError, OSError):  # systems that do not tell: what POSIX promises
        return 4096


def _kill(processes: Sequence[Any], connections: Sequence[Connection]) -> None:
    started = [process for process in processes if process.pid is not None]
    for process in started:
        process.kill()
    for process in started:
        process.join(5)
    for connection in connections:
        connection.close()
