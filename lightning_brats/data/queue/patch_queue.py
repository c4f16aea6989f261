"""A TorchIO queue whose workers read patches instead of volumes.

TorchIO's own queue loads and transforms whole volumes in workers and sends them to the trainer,
which cuts patches there. Here a worker maps the cached volume, reads the patch's region alone (with
a margin for spatial transforms), augments it with any TorchIO transform and leaves it in half
precision in memory that it shares with the trainer. Workers live as long as the queue and run ahead
across epochs, so there is no gap while the queue refills; what waits never exceeds `max_bytes`.

Shapes: `B` batch, `C` modalities (of slices with neighbours: times slices), `px py pz` the patch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torchio as tio
from torch import Tensor

from lightning_brats.data.patches import PatchDataset
from lightning_brats.data.queue.batch import PatchBatch
from lightning_brats.data.queue.cutting import InProcess
from lightning_brats.data.queue.workers import PatchWorkers
from lightning_brats.data.sampling import PatchPlan, PatchRequest
from lightning_brats.errors import ConfigError

BATCHES_AHEAD = 8
"""Batches that workers run ahead: enough to even out slow patches, few enough to stay small."""


@dataclass
class QueueStatistics:
    """What has happened since the queue was made.

    Args:
        waited: Seconds in which the trainer had to wait for patches.
        patches: Patches that it took.
        ready: Sum, over the patches taken, of those that were ready when it came.
    """

    waited: float = 0.0
    patches: int = 0
    ready: int = 0


class PatchQueue(tio.Queue):
    """TorchIO queue over a `PatchPlan`; item `i` is the plan's patch `i` of the current epoch.

    Args:
        dataset: Cuts the patches.
        plan: Says which.
        workers: Processes; 0 cuts in the caller.
        max_bytes: Upper bound on patches in flight: those waiting, and the batches made of them.
        pin: Whether batches are made in page-locked memory, from which CUDA copies by itself.

    Raises:
        ConfigError: `max_bytes` is too small.
    """

    def __init__(
        self,
        dataset: PatchDataset,
        plan: PatchPlan,
        workers: int = 0,
        max_bytes: int = 2**30,
        pin: bool = False,
    ) -> None:
        self.dataset, self.plan, self.pin = dataset, plan, pin
        self.workers = workers
        self.statistics = QueueStatistics()
        self._channels = dataset.channels
        self.patch_bytes = math.prod(dataset.patch_size) * (2 * self._channels + 1)
        self.batch_bytes = self._bytes_of_batches()
        self.capacity = self._room(max_bytes)
        self._position = (0, 0)
        self._requests: Iterator[PatchRequest] | None = None
        self._source: PatchWorkers | InProcess | None = None

    def __len__(self) -> int:
        return len(self.plan)

    def __repr__(self) -> str:
        return f"PatchQueue({len(self.dataset)} cases, {len(self)} patches an epoch)"

    @property
    def position(self) -> tuple[int, int]:
        """Epoch and position of the next patch."""
        return self._position

    @property
    def pids(self) -> list[int]:
        """Process numbers of the running workers."""
        return list(self._source.pids) if self._source else []

    @property
    def num_subjects(self) -> int:
        """Cases, over all ranks."""
        return len(self.dataset)

    @property
    def num_patches(self) -> int:
        """Patches that are ready."""
        return self._source.ready() if self._source else 0

    @property
    def iterations_per_epoch(self) -> int:
        """Patches an epoch, of this rank."""
        return len(self)

    def get_max_memory(self, subject: tio.Subject | None = None) -> int:
        """Bytes in flight at most, batches included; `subject` is TorchIO's and not needed."""
        return self.capacity * self.patch_bytes + self.batch_bytes

    def seek(self, epoch: int, position: int = 0) -> None:
        """Make patch `position` of `epoch` the next one; free when it already is."""
        if self._requests is None or self._position != (epoch, position):
            self._position = (epoch, position)
            self._requests = _endless(self.plan, epoch, position)
            if self._source:
                self._source.forget()

    def close(self) -> None:
        """Stop the workers at once; the next patch starts them again."""
        if self._source:
            self._source.close()
        self._source = self._requests = None

    def __getitem__(self, index: int) -> tio.Subject:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> PatchBatch:
        """A batch, written once, where the trainer (or CUDA) takes it from.

        Raises:
            BratsError: A case cannot be read, a transform failed or a worker died.
        """
        started = time.perf_counter()
        shape = self.dataset.patch_size
        size = len(indices)
        image = torch.empty(size, self._channels, *shape, dtype=torch.float16, pin_memory=self.pin)
        mask = torch.empty(size, 1, *shape, dtype=torch.uint8, pin_memory=self.pin)
        try:
            facts = [self._next(index, image[row], mask[row]) for row, index in enumerate(indices)]
        except BaseException:
            self.close()
            raise
        self.statistics.waited += time.perf_counter() - started
        return PatchBatch(image, mask, facts)

    def _next(self, index: int, image: Tensor, mask: Tensor) -> Mapping[str, Any]:
        """Write the next patch and return its facts."""
        epoch = self._position[0]
        self.seek(epoch, index)
        assert self._requests is not None
        if self._source is None:
            self._source = self._start()
        self.statistics.ready += self._source.ready()
        self._source.raise_failure(len(self) - index)  # not of an epoch that may never come
        patch = self._source.take(self._requests)
        image.copy_(patch.image)
        mask.copy_(patch.mask)
        self._source.release(patch)
        self._source.ask(self._requests)
        last = index + 1 == len(self)
        self._position = (epoch + 1, 0) if last else (epoch, index + 1)
        self.statistics.patches += 1
        return patch.facts

    def _start(self) -> PatchWorkers | InProcess:
        if self.workers:
            return PatchWorkers(self.dataset, self.workers, self.capacity)
        return InProcess(self.dataset)

    def _bytes_of_batches(self) -> int:
        """Of the batches that exist at a time: the step's, and the next that is being made."""
        size = self.plan.batch_size * math.prod(self.dataset.patch_size)
        if not self.pin:
            return 2 * size * (2 * self._channels + 1)
        # CUDA's allocator rounds up to powers of two, and keeps a block until its copy is done.
        return 3 * sum(1 << (size * each - 1).bit_length() for each in (2 * self._channels, 1))

    def _room(self, max_bytes: int) -> int:
        """Patches that may wait."""
        if self.workers == 0:
            return 0
        room = (max_bytes - self.batch_bytes) // self.patch_bytes
        if room < self.workers:
            least = self.workers * self.patch_bytes + self.batch_bytes
            raise ConfigError(
                f"queue.max_bytes={max_bytes:,} is too little for the batches and one patch for "
                f"each of {self.workers} workers ({least:,} bytes)",
                remedy="raise queue.max_bytes, or lower queue.patch_size, batch_size or workers",
            )
        return min(room, max(BATCHES_AHEAD * self.plan.batch_size, 4 * self.workers))


def _endless(plan: PatchPlan, epoch: int, position: int) -> Iterator[PatchRequest]:
    """Requests, epoch after epoch."""
    while True:
        yield from plan.epoch(epoch, position)
        epoch, position = epoch + 1, 0
