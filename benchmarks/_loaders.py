"""Loaders of training patches, ours and the peers', built from one data set on disk.

Each builder returns an endless iterator over batches of two (from first to last in the calling
process and its workers), and after how many patches its work repeats.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torchio as tio

from lightning_brats.data.cache import default_cache
from lightning_brats.data.datamodule import BratsDataModule
from lightning_brats.data.queue import QueueSettings
from lightning_brats.data.sources import CaseSource, load_cases
from lightning_brats.data.splits import Split
from lightning_brats.experiment import configure
from lightning_brats.parts import build

BATCH = 2
REPEATED = 1_000
"""How often peers' lists of cases are repeated, so that they never come to the end of an epoch."""

Loader = tuple[Iterator[Any], int]


@dataclass(frozen=True)
class Task:
    """What is loaded.

    Args:
        cases: Of the phantom.
        spacing: Of its voxels in mm; 1 makes volumes of 240×240×155.
        patch: Edge in voxels.
        workers: Processes.
        augmentation: `none`, `standard` or `full`.
    """

    cases: int
    spacing: float
    patch: int
    workers: int
    augmentation: str

    @property
    def size(self) -> tuple[int, int, int]:
        """(px, py, pz)."""
        return (self.patch,) * 3

    def source(self) -> CaseSource:
        """The cases; made when they are not there yet."""
        layout = {"layout": "nnunet", "cases": self.cases, "spacing": self.spacing}
        return load_cases(phantom=layout)

    @property
    def root(self) -> Path:
        """Their folder, in nnU-Net's layout."""
        mask = self.source().cases[0].mask
        assert mask is not None
        return mask.parent.parent


def ours(task: Task, max_bytes: int = 2**30) -> Loader:
    """The suite's data module, as a trainer uses it."""
    data = our_data(task, max_bytes)
    loader = data.train_dataloader()
    return itertools.chain.from_iterable(_epochs(loader)), BATCH


def our_data(task: Task, max_bytes: int = 2**30) -> BratsDataModule:
    """All cases for training."""
    source = task.source()
    names = tuple(case.case for case in source.cases)
    data = BratsDataModule(
        source,
        queue=QueueSettings(task.size, BATCH, workers=task.workers, max_bytes=max_bytes),
        split=Split(names, (), ()),
        transform=build(configure(f"augmentation={task.augmentation}").augmentation),
    )
    data.prepare_data()
    return data


def _epochs(loader: Any) -> Iterator[Any]:
    for epoch in itertools.count():
        loader.sampler.set_epoch(epoch)
        yield loader


def torchio_queue(task: Task, patches_per_volume: int) -> Loader:
    """TorchIO's own queue over the compressed files."""
    subjects = [
        tio.Subject(
            image=tio.ScalarImage([ref.path for ref in case.images.values()]),
            mask=tio.LabelMap(case.mask),
        )
        for case in task.source().cases
    ]
    length = max(2, 8 // patches_per_volume) * patches_per_volume
    queue = tio.Queue(
        tio.SubjectsDataset(subjects * REPEATED, transform=torchio_transforms(task.augmentation)),
        max_length=length,
        samples_per_volume=patches_per_volume,
        sampler=tio.UniformSampler(task.size),
        num_workers=task.workers,
    )
    # Its own length costs minutes where there are many subjects.
    queue_length = patches_per_volume * len(subjects) * REPEATED
    type(queue).__len__ = lambda _: queue_length  # type: ignore[method-assign]
    return iter(tio.SubjectsLoader(queue, batch_size=BATCH)), length


def torchio_transforms(augmentation: str) -> tio.Transform | None:
    """TorchIO's transforms with the probabilities of our preset `full`.

    What TorchIO has no transform for (brightness, contrast) is left out, and so is less work.
    """
    if augmentation == "none":
        return None
    if augmentation != "full":
        raise ValueError(f"augmentation {augmentation} is not compared with TorchIO")
    either = 1 - 0.8 * 0.8  # rotation or scaling, which TorchIO draws together
    return tio.Compose(
        [
            tio.RandomAffine(scales=(0.7, 1.4), degrees=30, isotropic=True, p=either),
            tio.RandomElasticDeformation(num_control_points=7, max_displacement=7.5, p=0.2),
            tio.RandomBiasField(coefficients=0.3, p=0.2),
            tio.RandomMotion(degrees=5, translation=5, num_transforms=2, p=0.03),
            tio.RandomGhosting(num_ghosts=(4, 10), intensity=(0.5, 1), p=0.03),
            tio.RandomSpike(num_spikes=(1, 1), intensity=(0.1, 0.5), p=0.03),
            tio.RandomAnisotropy(downsampling=(1.5, 5), p=0.05),
            tio.RandomNoise(std=(0, 0.1), p=0.1),
            tio.RandomBlur(std=(0.5, 1), p=0.2),
            tio.RandomAnisotropy(downsampling=(1, 2), p=0.25),  # simulates low resolution
            tio.RandomGamma(log_gamma=(math.log(0.7), math.log(1.5)), p=0.37),
            tio.RandomFlip(axes=(0, 1, 2), flip_probability=0.5),
        ]
    )


def nnunet(task: Task) -> Loader:
    """nnU-Net's loader with all its training transforms, over its own preprocessed cases."""
    folder = _nnunet_folders(task.root)
    from batchgenerators.dataloading.nondet_multi_threaded_augmenter import (
        NonDetMultiThreadedAugmenter,
    )
    from nnunetv2.training.data_augmentation.compute_initial_patch_size import get_patch_size
    from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
    from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    preprocessed = _nnunet_preprocessed(folder, task.workers)
    plans = PlansManager(str(preprocessed / "nnUNetPlans.json"))
    configuration = plans.get_configuration("3d_fullres")
    labels = plans.get_label_manager(json.loads((preprocessed / "dataset.json").read_text()))
    cases = str(preprocessed / configuration.data_identifier)
    turns = (-math.pi / 6, math.pi / 6)
    wider = get_patch_size(task.size, turns, turns, turns, (0.85, 1.25))
    transforms = nnUNetTrainer.get_training_transforms(
        task.size,
        turns,
        None,  # no targets for deep supervision: ours makes none here either
        (0, 1, 2),
        False,
        use_mask_for_norm=configuration.use_mask_for_norm,
        foreground_labels=labels.foreground_labels,
        regions=labels.foreground_regions if labels.has_regions else None,
    )
    loader = nnUNetDataLoader(
        infer_dataset_class(cases)(cases),
        BATCH,
        wider,
        task.size,
        labels,
        oversample_foreground_percent=0.33,
        transforms=transforms,
    )
    batches = NonDetMultiThreadedAugmenter(
        loader, None, task.workers, num_cached=max(6, task.workers // 2), wait_time=0.002
    )
    return iter(lambda: next(batches), None), BATCH


def _nnunet_folders(root: Path) -> Path:
    folder = default_cache() / "benchmark" / root.name
    for name in ("raw", "preprocessed", "results"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        os.environ[f"nnUNet_{name}"] = str(folder / name)
    link = folder / "raw" / "Dataset001_Phantom"
    if not link.exists():
        link.symlink_to(root)
    return folder


def _nnunet_preprocessed(folder: Path, processes: int) -> Path:
    """Planned and preprocessed by nnU-Net, once."""
    from nnunetv2.experiment_planning import plan_and_preprocess_api as api

    found, done = folder / "preprocessed" / "Dataset001_Phantom", folder / "complete"
    if not done.exists():
        with contextlib.redirect_stdout(None):
            api.extract_fingerprints([1], num_processes=processes)
            api.plan_experiments([1])
            api.preprocess([1], configurations=("3d_fullres",), num_processes=(processes,))
        done.touch()
    return found


BUILDERS: dict[str, Callable[..., Loader]] = {
    "ours": ours,
    "torchio": torchio_queue,
    "nnunet": nnunet,
}


def prepare(tasks: Sequence[Task], with_nnunet: bool) -> None:
    """Make what is made once, so that no measurement does."""
    for task in tasks:
        our_data(task)
        if with_nnunet:
            _nnunet_preprocessed(_nnunet_folders(task.root), task.workers)
    torch.set_num_threads(1)
