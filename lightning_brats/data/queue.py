"""A TorchIO queue whose workers read patches instead of volumes.

TorchIO's own queue loads and transforms whole volumes in workers and sends them to the trainer,
which cuts patches there. Here a worker maps the cached volume, reads the patch's region alone (with
a margin for spatial transforms), augments it with any TorchIO transform and sends half-precision
patches through shared memory. Workers live as long as the queue and run ahead across epochs, so
there is no gap while the queue refills; what is in flight never exceeds `max_bytes`.

Shapes: `C` modalities, `px py pz` the patch.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torchio as tio
from torch.utils.data import DataLoader, DistributedSampler, Sampler

from lightning_brats.data.patches import PatchDataset
from lightning_brats.data.sampling import PatchPlan, PatchRequest
from lightning_brats.errors import ConfigError


@dataclass(frozen=True)
class QueueSettings:
    """How patches are drawn.

    Args:
        patch_size: (px, py, pz) in voxels; one axis of 1 for slices.
        batch_size: Patches in a training step, on each device.
        patches_per_volume: Visits of each case an epoch.
        foreground: Share of patches centred on tumour.
        workers: Processes that read and augment; 0 reads in the trainer.
        max_bytes: Upper bound on patches waiting in memory.
        margin: Voxels read around a patch for spatial transforms, cut off after them.
    """

    patch_size: Sequence[int] = (48, 48, 48)
    batch_size: int = 2
    patches_per_volume: int = 4
    foreground: float = 1 / 3
    workers: int = 1
    max_bytes: int = 2**30
    margin: int = 0

    def __post_init__(self) -> None:
        if len(self.patch_size) != 3 or min(self.patch_size) < 1:
            raise ConfigError(
                f"queue.patch_size={list(self.patch_size)} is not three positive numbers",
                remedy="for example queue.patch_size=[96,96,96], or [192,192,1] for slices",
            )
        if not 0 <= self.foreground <= 1:
            raise ConfigError(f"queue.foreground={self.foreground} is not between 0 and 1")
        if min(self.batch_size, self.patches_per_volume) < 1 or self.workers < 0:
            raise ConfigError("queue.batch_size and patches_per_volume must be at least 1")


class PatchQueue(tio.Queue):
    """TorchIO queue over a `PatchPlan`; item `i` is the plan's patch `i` of the current epoch.

    Args:
        dataset: Cuts the patches.
        plan: Says which.
        workers: Processes; 0 cuts in the caller.
        max_bytes: Upper bound on patches in flight.
    """

    def __init__(
        self, dataset: PatchDataset, plan: PatchPlan, workers: int = 0, max_bytes: int = 2**30
    ) -> None:
        self.dataset, self.plan = dataset, plan
        self.stream = _Stream(plan)
        self.waited = 0.0
        self._position = (0, 0)
        self._patches: Iterator[tio.Subject] | None = None
        self._loader = DataLoader(
            dataset,
            batch_size=None,
            sampler=self.stream,
            generator=torch.Generator(),  # its own, so that loading never moves the global one
            num_workers=workers,
            persistent_workers=workers > 0,
            prefetch_factor=self._prefetch(workers, max_bytes) if workers else None,
        )

    def _prefetch(self, workers: int, max_bytes: int) -> int:
        channels = len(self.dataset.cases[0].meta["modalities"])
        patch = int(np.prod(self.dataset.patch_size)) * (2 * channels + 1)
        if patch * workers > max_bytes:
            raise ConfigError(
                f"queue.max_bytes={max_bytes:,} is less than one patch for each of {workers} "
                f"workers ({patch * workers:,} bytes)",
                remedy="raise queue.max_bytes, or lower queue.patch_size or queue.workers",
            )
        return max(1, min(16, max_bytes // (patch * workers)))

    def __len__(self) -> int:
        return len(self.plan)

    def __repr__(self) -> str:
        return f"PatchQueue({len(self.dataset)} cases, {len(self)} patches an epoch)"

    @property
    def position(self) -> tuple[int, int]:
        """Epoch and position of the next patch."""
        return self._position

    def seek(self, epoch: int, position: int = 0) -> None:
        """Make patch `position` of `epoch` the next one; free when it already is."""
        if self._patches is None or self._position != (epoch, position):
            self.stream.start = self._position = (epoch, position)
            self._patches = None

    def close(self) -> None:
        """Stop the workers at once; the next patch starts them again.

        Left to the garbage collector, an iterator that a traceback still holds would wait for each
        worker's time-out.
        """
        if self._loader.num_workers and self._patches is not None:
            self._patches._shutdown_workers()  # type: ignore[attr-defined]
        self._patches = self._loader._iterator = None

    def __getitem__(self, index: int) -> tio.Subject:
        epoch, position = self._position
        if index != position:
            self.seek(epoch, index)
        started = time.perf_counter()
        if self._patches is None:
            self._patches = iter(self._loader)
        try:
            patch = next(self._patches)
        except BaseException:
            self.close()
            raise
        self.waited += time.perf_counter() - started
        last = index + 1 == len(self)
        self._position = (epoch + 1, 0) if last else (epoch, index + 1)
        return patch


class _Stream(Sampler[PatchRequest]):
    """Endless requests, epoch after epoch, from `start` on."""

    def __init__(self, plan: PatchPlan) -> None:
        self.plan, self.start = plan, (0, 0)

    def __iter__(self) -> Iterator[PatchRequest]:
        epoch, position = self.start
        while True:
            yield from self.plan.epoch(epoch, position)
            epoch, position = epoch + 1, 0


class PositionSampler(DistributedSampler):
    """Positions of the current epoch, in order; Lightning tells it the epoch.

    It is a `DistributedSampler` only by name, so that Lightning leaves it in place: the plan has
    dealt the patches to the ranks already.
    """

    def __init__(self, queue: PatchQueue) -> None:
        super().__init__(queue, num_replicas=1, rank=0, shuffle=False)
        self.queue, self.start = queue, 0

    def __iter__(self) -> Iterator[int]:
        start, self.start = self.start, 0
        self.queue.seek(self.epoch, start)
        return iter(range(start, len(self.queue)))

    def __len__(self) -> int:
        return len(self.queue)
