"""Lightning data module: cases → split → cache → patch queue and whole volumes.

Shapes: `B` batch, `C` modalities, `px py pz` patch, `x y z` a cropped volume.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
import torchio as tio
from torch.utils.data import DataLoader, Dataset

from lightning_brats.augment import augment_
from lightning_brats.data.cache import Cache, CachedCase, default_cache
from lightning_brats.data.case import Case
from lightning_brats.data.catalogue import Catalogue
from lightning_brats.data.patches import PLAN, PatchDataset
from lightning_brats.data.preprocess import Geometry, Prepared, Preprocess
from lightning_brats.data.queue import (
    PatchQueue,
    PositionSampler,
    QueueSettings,
    collate_patches,
)
from lightning_brats.data.queue.positions import kept, restored
from lightning_brats.data.queue.process import leave_interrupts_to_the_trainer
from lightning_brats.data.queue.ring import has_room_to_share
from lightning_brats.data.sampling import PatchPlan
from lightning_brats.data.sources import CaseSource, load_cases
from lightning_brats.data.splits import PARTS, Split, check_split, make_split
from lightning_brats.data.transforms import works_on_device
from lightning_brats.parallel import cores

Progress = Callable[[int, int], None]
VOLUMES_AHEAD = 2**29
"""Room in shared memory for a worker that reads whole volumes: two of 240×240×155, and to spare."""


class BratsDataModule(pl.LightningDataModule):
    """Patches for training, whole volumes for validation and test.

    Args:
        source: A data set's folder, cases from `load_cases`, or `None` for the embedded phantom.
        preprocess: How volumes are prepared.
        queue: How patches are drawn.
        split: Which patient is where; 70/10/20 by patient when not given.
        transform: TorchIO augmentation of training patches; on the training device where it is a
            `data.transforms.chain` that is to work there.
        cache: Folder for prepared cases.
        seed: Of split and patches.
    """

    def __init__(
        self,
        source: CaseSource | str | Path | None = None,
        preprocess: Preprocess | None = None,
        queue: QueueSettings | None = None,
        split: Split | None = None,
        transform: tio.Transform | None = None,
        cache: str | Path | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.source = source if isinstance(source, CaseSource) else load_cases(root=source)
        self.preprocess = preprocess or Preprocess()
        self.settings = queue or QueueSettings()
        outline = self.source.outline()
        self.split = split or make_split(outline, seed=seed)
        check_split(self.split, outline)
        self.transform, self.seed = transform, seed
        root = Path(cache) if cache else default_cache() / "cases"
        self.cache = Cache(root, self.preprocess, self.source.catalogue)
        self.progress: Progress | None = None
        self.queue: PatchQueue | None = None
        self._state: dict[str, Any] = {"queue": (0, 0)}
        self._sampler: PositionSampler | None = None

    def cases(self, part: str) -> Sequence[Case]:
        """Cases of `train`, `validation` or `test`."""
        names = getattr(self.split, part)
        if self.source.catalogue is not None:
            return self.source.catalogue.select(names)
        by_id = {case.case: case for case in self.source.cases}
        return [by_id[name] for name in names]

    def entries(self, part: str) -> Sequence[CachedCase]:
        """Prepared cases of `train`, `validation` or `test`, opened when asked for."""
        return self._prepared(part).entries

    def prepare_data(self) -> None:
        """Prepare every case of the split that is not in the cache yet, checking it.

        Raises:
            DataError: A case cannot be used.
        """
        if self.cache.catalogue is None:
            cases = [case for part in PARTS for case in self.cases(part)]
            self.cache.prepare(cases, cores(), self.progress)

    def typical_shape(self) -> tuple[int, ...]:
        """Median (x, y, z) of the prepared training volumes."""
        return tuple(int(size) for size in np.median(self._prepared("train").shapes, axis=0))

    def train_dataloader(self) -> DataLoader:
        """Batches from the patch queue, this rank's share.

        Raises:
            ConfigError: A run goes on with another number of patches in a step.
        """
        rank, world = self._rank_and_world()
        settings = self.settings
        entries = self.entries("train")
        settings.check(entries)
        cuda = self.trainer is not None and self._trains_on_cuda()
        on_device = works_on_device(self.transform, cuda, settings.margin)
        dataset = PatchDataset(
            entries,
            settings.patch_size,
            self.transform,
            settings.margin,
            on_device,
            settings.neighbours,
            settings.slice_axes,
        )
        plan = PatchPlan(
            subjects=len(entries),
            patches_per_volume=settings.patches_per_volume,
            foreground=settings.foreground,
            batch_size=settings.batch_size,
            seed=self.seed,
            rank=rank,
            world=world,
            tumour=float(settings.tumour_only),
            slices=settings.slice_range,
        )
        epoch, position = restored(self._state, plan)
        self._close_queue()
        pin = self._trains_on_cuda()
        self.queue = PatchQueue(dataset, plan, settings.workers, settings.max_bytes, pin)
        self._sampler = PositionSampler(self.queue)
        self._sampler.go_on(epoch, position)
        return DataLoader(
            self.queue,
            batch_size=settings.batch_size,
            sampler=self._sampler,
            collate_fn=collate_patches,
            generator=torch.Generator(),  # its own, so that loading never moves the global one
            num_workers=0,
        )

    def val_dataloader(self) -> DataLoader:
        """Whole validation volumes, one a batch, this rank's share."""
        return self._volumes("validation")

    def test_dataloader(self) -> DataLoader:
        """Whole test volumes, one a batch, this rank's share."""
        return self._volumes("test")

    predict_dataloader = test_dataloader

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Augment training patches whose augmentation was left to the training device."""
        plans = batch.pop(PLAN, None) if isinstance(batch, dict) else None
        if plans is not None:
            augment_(batch["image"], batch["mask"], plans)
        return batch

    def teardown(self, stage: str) -> None:
        """After training, end the workers; where the queue stands is kept."""
        if stage == "fit":
            self._close_queue()

    def on_exception(self, exception: BaseException) -> None:
        """End the workers, also where a notebook lives on."""
        self._close_queue()

    def state_dict(self) -> dict[str, Any]:
        """Where the queue stands, for the checkpoint."""
        return kept(self.queue) if self.queue else {"queue": (0, 0)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where the checkpoint's queue stood."""
        self._state = state_dict

    def _prepared(self, part: str) -> Catalogue:
        self.prepare_data()  # on every rank: Lightning calls it on one a host
        assert self.cache.catalogue is not None
        return self.cache.catalogue.select(getattr(self.split, part))

    def _volumes(self, part: str) -> DataLoader:
        rank, world = self._rank_and_world()
        cases = self.cases(part)
        own = cases[rank::world]
        # Ranks must take equally many steps; what fills up is predicted, but not counted.
        spare = cases[: -(-len(cases) // world) - len(own)]
        load = partial(_from_cache, self.cache)
        return volume_loader(own, load, self.settings.workers, spare)

    def _close_queue(self) -> None:
        if self.queue:
            self.queue.close()

    def _trains_on_cuda(self) -> bool:
        trainer = self.trainer
        device = trainer.strategy.root_device.type if trainer else "cuda"
        return device == "cuda" and torch.cuda.is_available()

    def _rank_and_world(self) -> tuple[int, int]:
        trainer = self.trainer
        return (trainer.global_rank, trainer.world_size) if trainer else (0, 1)


class Origin:
    """Where a volume comes from; a plain class, because Lightning takes dataclasses apart.

    Args:
        case: Its files and coding.
        geometry: The way back to their grid.
    """

    def __init__(self, case: Case, geometry: Geometry) -> None:
        self.case, self.geometry = case, geometry


class VolumeDataset(Dataset):
    """Whole prepared volumes.

    Args:
        cases: Cases to yield.
        load: How one is prepared.
        spare: Cases that follow and are not counted.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        load: Callable[[Case], Prepared],
        spare: Sequence[Case] = (),
    ) -> None:
        self.cases, self.load, self.spare = cases, load, spare

    def __len__(self) -> int:
        return len(self.cases) + len(self.spare)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """`origin`, `counted`, `image` (1, C, x, y, z) fp16, with labels `mask` (1, 1, x, y, z)."""
        counted = index < len(self.cases)
        case = self.cases[index] if counted else self.spare[index - len(self.cases)]
        prepared = self.load(case)
        item: dict[str, Any] = {"origin": Origin(case, prepared.geometry)}
        item["counted"] = counted
        item["image"] = torch.from_numpy(prepared.image.copy())[None]
        if prepared.mask is not None:
            item["mask"] = torch.from_numpy(prepared.mask.copy())[None, None]
        return item


def volume_loader(
    cases: Sequence[Case],
    load: Callable[[Case], Prepared],
    workers: int,
    spare: Sequence[Case] = (),
) -> DataLoader:
    """One volume a batch, read ahead by at most one worker: a volume is large, reading it quick."""
    dataset = VolumeDataset(cases, load, spare)
    ahead = 1 if workers and has_room_to_share(VOLUMES_AHEAD) else 0
    return DataLoader(
        dataset,
        batch_size=None,
        num_workers=ahead,
        prefetch_factor=1 if ahead else None,
        worker_init_fn=leave_interrupts_to_the_trainer,
        sampler=_Sequence(len(dataset)),
        generator=torch.Generator(),
    )


def from_files(preprocess: Preprocess, case: Case) -> Prepared:
    """Read and prepare a case without the cache."""
    return preprocess(case, preprocess.read(case))


def _from_cache(cache: Cache, case: Case) -> Prepared:
    return cache.get(case).prepared()


class _Sequence(torch.utils.data.DistributedSampler):
    """In order, and left in place by Lightning: the cases are this rank's own already."""

    def __init__(self, length: int) -> None:
        super().__init__(range(length), num_replicas=1, rank=0, shuffle=False)  # type: ignore[arg-type]
