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

from lightning_brats.data.cache import Cache, CachedCase, default_cache
from lightning_brats.data.case import Case
from lightning_brats.data.patches import PatchDataset, collate
from lightning_brats.data.preprocess import Geometry, Prepared, Preprocess
from lightning_brats.data.queue import PatchQueue, PositionSampler, QueueSettings
from lightning_brats.data.sampling import PatchPlan
from lightning_brats.data.sources import CaseSource, load_cases
from lightning_brats.data.splits import Split, check_split, make_split
from lightning_brats.parallel import cores

Progress = Callable[[int, int], None]


class BratsDataModule(pl.LightningDataModule):
    """Patches for training, whole volumes for validation and test.

    Args:
        source: A data set's folder, cases from `load_cases`, or `None` for the embedded phantom.
        preprocess: How volumes are prepared.
        queue: How patches are drawn.
        split: Which patient is where; 70/10/20 by patient when not given.
        transform: TorchIO augmentation of training patches.
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
        self.split = split or make_split(self.source.cases, seed=seed)
        check_split(self.split, self.source.cases)
        self.transform, self.seed = transform, seed
        root = Path(cache) if cache else default_cache() / "cases"
        self.cache = Cache(root, self.preprocess)
        self.progress: Progress | None = None
        self.queue: PatchQueue | None = None
        self._by_id = {case.case: case for case in self.source.cases}
        self._position = (0, 0)
        self._sampler: PositionSampler | None = None

    def cases(self, part: str) -> list[Case]:
        """Cases of `train`, `validation` or `test`."""
        return [self._by_id[case] for case in getattr(self.split, part)]

    def prepare_data(self) -> None:
        """Prepare every case of the split that is not in the cache yet, checking it.

        Raises:
            DataError: A case cannot be used.
        """
        cases = [*self.cases("train"), *self.cases("validation"), *self.cases("test")]
        self.cache.prepare(cases, cores(), self.progress)

    def typical_shape(self) -> tuple[int, ...]:
        """Median (x, y, z) of the prepared training volumes."""
        shapes = [CachedCase(self.cache.folder(c)).meta["shape"] for c in self.cases("train")]
        return tuple(int(size) for size in np.median(shapes, axis=0))

    def train_dataloader(self) -> DataLoader:
        """Batches from the patch queue, this rank's share."""
        rank, world = self._rank_and_world()
        settings = self.settings
        cached = [CachedCase(self.cache.folder(case)) for case in self.cases("train")]
        dataset = PatchDataset(cached, settings.patch_size, self.transform, settings.margin)
        plan = PatchPlan(
            subjects=len(cached),
            patches_per_volume=settings.patches_per_volume,
            foreground=settings.foreground,
            batch_size=settings.batch_size,
            seed=self.seed,
            rank=rank,
            world=world,
        )
        self.queue = PatchQueue(dataset, plan, settings.workers, settings.max_bytes)
        self._sampler = PositionSampler(self.queue)
        epoch, position = self._position
        self._sampler.set_epoch(epoch)
        self._sampler.start = position
        return DataLoader(
            self.queue,
            batch_size=settings.batch_size,
            sampler=self._sampler,
            collate_fn=collate,
            generator=torch.Generator(),  # its own, so that loading never moves the global one
            num_workers=0,
            pin_memory=torch.cuda.is_available(),
        )

    def val_dataloader(self) -> DataLoader:
        """Whole validation volumes, one a batch, this rank's share."""
        return self._volumes("validation")

    def test_dataloader(self) -> DataLoader:
        """Whole test volumes, one a batch, this rank's share."""
        return self._volumes("test")

    predict_dataloader = test_dataloader

    def state_dict(self) -> dict[str, Any]:
        """Where the queue stands, for the checkpoint."""
        return {"queue": self.queue.position if self.queue else (0, 0)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where the checkpoint's queue stood."""
        self._position = tuple(state_dict["queue"])

    def _volumes(self, part: str) -> DataLoader:
        rank, world = self._rank_and_world()
        cases = self.cases(part)
        own = cases[rank::world]
        # Ranks must take equally many steps; what fills up is predicted, but not counted.
        spare = cases[: -(-len(cases) // world) - len(own)]
        load = partial(_from_cache, self.cache)
        return volume_loader(own, load, self.settings.workers, spare)

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
        self.cases, self.load, self.counted = [*cases, *spare], load, len(cases)

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """`origin`, `counted`, `image` (1, C, x, y, z) fp16, with labels `mask` (1, 1, x, y, z)."""
        case = self.cases[index]
        prepared = self.load(case)
        item: dict[str, Any] = {"origin": Origin(case, prepared.geometry)}
        item["counted"] = index < self.counted
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
    return DataLoader(
        dataset,
        batch_size=None,
        num_workers=min(workers, 1),
        prefetch_factor=1 if workers else None,
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
