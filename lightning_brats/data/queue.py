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
from typing import Any

import numpy as np
import torch
import torchio as tio
from torch.utils.data import DataLoader, Dataset, DistributedSampler, Sampler

from lightning_brats.data.cache import CachedCase
from lightning_brats.data.sampling import PatchPlan, PatchRequest, patch_corner
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


class PatchDataset(Dataset):
    """Cuts and augments the patch that a request asks for.

    Args:
        cases: Cached cases, in the order that requests count them.
        patch_size: (px, py, pz).
        transform: TorchIO transform, applied to the patch and its margin.
        margin: Voxels around the patch on axes longer than 1.
    """

    def __init__(
        self,
        cases: Sequence[CachedCase],
        patch_size: Sequence[int],
        transform: tio.Transform | None = None,
        margin: int = 0,
    ) -> None:
        self.cases, self.transform = list(cases), transform
        self.patch_size = tuple(patch_size)
        self.margin = tuple(margin if size > 1 else 0 for size in self.patch_size)

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, request: PatchRequest) -> tio.Subject:
        """Patch as a subject with `image` (C, px, py, pz) fp16 and `mask` (1, px, py, pz) uint8."""
        case = self.cases[request.subject]
        generator = np.random.default_rng(request.seed)
        shape = tuple(case.meta["shape"])
        corner = patch_corner(shape, self.patch_size, case.foreground, request.forced, generator)
        corner = tuple(c - m for c, m in zip(corner, self.margin, strict=True))
        size = tuple(p + 2 * m for p, m in zip(self.patch_size, self.margin, strict=True))
        mask = case.mask
        assert mask is not None, f"{case.folder} has no mask"
        image = torch.from_numpy(read_region(case.image, corner, size))
        labels = torch.from_numpy(read_region(mask[None], corner, size))
        subject = tio.Subject(
            image=tio.ScalarImage(tensor=image),
            mask=tio.LabelMap(tensor=labels),
            case=case.meta["case"],
        )
        return self._augment(subject, self.transform, request.seed) if self.transform else subject

    def _augment(self, subject: Any, transform: tio.Transform, seed: int) -> tio.Subject:
        subject.image.set_data(subject.image.data.float())
        with torch.random.fork_rng(devices=[]):  # TorchIO draws from torch's global generator
            torch.manual_seed(seed)
            subject = transform(subject)
        inner = tuple(slice(m, m + p) for m, p in zip(self.margin, self.patch_size, strict=True))
        for name, dtype in (("image", torch.float16), ("mask", torch.uint8)):
            subject[name].set_data(subject[name].data[(slice(None), *inner)].to(dtype))
        return subject


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


def read_region(
    array: np.ndarray, corner: Sequence[int], size: Sequence[int], fill: float = 0
) -> np.ndarray:
    """Region (C, *size) of (C, x, y, z) from `corner`, `fill` where it reaches outside."""
    spans = list(zip(corner, size, array.shape[1:], strict=True))
    inside = tuple(slice(max(c, 0), min(c + s, full)) for c, s, full in spans)
    region = array[(slice(None), *inside)]
    if region.shape[1:] == tuple(size):
        return np.array(region)
    out = np.full((array.shape[0], *size), fill, array.dtype)
    target = tuple(slice(i.start - c, i.stop - c) for i, c in zip(inside, corner, strict=True))
    out[(slice(None), *target)] = region
    return out


def collate(subjects: Sequence[tio.Subject]) -> dict[str, torch.Tensor | list[str]]:
    """Subjects → `image` (B, C, px, py, pz) fp16, `mask` (B, 1, px, py, pz) uint8, `case`."""
    return {
        "image": torch.stack([s.image.data for s in subjects]),
        "mask": torch.stack([s.mask.data for s in subjects]),
        "case": [str(s["case"]) for s in subjects],
    }
