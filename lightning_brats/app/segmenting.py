"""One case through the networks, as the prediction command does it, step by step for a person.

Shapes: `C` modalities, `x y z` the cropped grid, `X Y Z` the file's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import nibabel as nib
import numpy as np
import torch

from lightning_brats.app.checks import find_doubts
from lightning_brats.app.jobs import Job
from lightning_brats.app.trained import Trained, load, unprocessed
from lightning_brats.data.case import Case
from lightning_brats.data.preprocess import Geometry, Prepared
from lightning_brats.data.reading import AFFINE_TOLERANCE, read_mask
from lightning_brats.errors import DataError
from lightning_brats.inference import SlidingWindow
from lightning_brats.inference.grid import brain_box, mirrors, pad_to, windows
from lightning_brats.labels import REGIONS, TISSUES, LabelScheme, region_masks
from lightning_brats.parallel import cores
from lightning_brats.prediction import Model, Segmenter
from lightning_brats.prediction.models import strictest
from lightning_brats.prediction.writing import save_labels, save_map

UNPROCESSED = (
    "the networks were tuned to different post-processing, so their mean has none: small false "
    "spots may have stayed"
)
NETWORK = (0.15, 0.9)
"""Share of the work that is done before and after the networks' windows."""


@dataclass(frozen=True)
class Result:
    """What came of a case.

    Args:
        model: What segmented it.
        case: Its files, all of them in the session's folder; the mask is the reference, and the
            coding is that of the reference.
        coding: Of the segmentation.
        mask: The segmentation on the input's grid.
        maps: Name → file of what the networks are unsure of, in [0, 1], on the same grid.
        regions: That the networks know.
        dice: Region → Dice to expect.
        volumes: Region → ml.
        voxels: Tissue → voxels, on the input's grid.
        doubts: What a person should look at before believing it.
        seconds: That it took.
        key: Tells it from every other; what is made of a result is kept by it.
    """

    model: str
    case: Case
    coding: LabelScheme
    mask: Path
    maps: Mapping[str, Path]
    regions: tuple[str, ...]
    dice: Mapping[str, float]
    volumes: Mapping[str, float]
    voxels: Mapping[str, int]
    doubts: tuple[str, ...]
    seconds: float
    key: str = field(default_factory=lambda: uuid4().hex)

    @property
    def segmented(self) -> Case:
        """The case with the segmentation as its mask: its grid is the one to draw on."""
        return replace(self.case, mask=self.mask, scheme=self.coding)

    def labels(self) -> tuple[np.ndarray, np.ndarray]:
        """Internal labels (X, Y, Z) and the affine."""
        return read_mask(self.mask, self.coding, self.case.case)

    def reference(self) -> np.ndarray | None:
        """Internal labels (X, Y, Z) of the reference, on the segmentation's grid.

        Raises:
            DataError: It lies on another grid, or holds other labels.
        """
        if self.case.mask is None:
            return None
        labels, affine = read_mask(self.case.mask, self.case.scheme, self.case.case)
        grid: Any = nib.load(self.mask)
        found, wanted = " × ".join(map(str, labels.shape)), " × ".join(map(str, grid.shape))
        apart = float(np.abs(affine - grid.affine).max())
        if found != wanted or apart > AFFINE_TOLERANCE:
            how = f"it has {found} voxels, they have {wanted}"
            if found == wanted:
                how = f"the affines differ by {apart:.3g} mm"
            raise DataError(
                f"the reference lies on another grid than the scans: {how}",
                remedy="resample the reference to the scans, labels by nearest neighbour",
            )
        return labels


def segment(job: Job, chosen: tuple[Trained, ...], case: Case, flips: bool, folder: Path) -> Result:
    """Segment a case, and look whether that can be believed.

    Args:
        job: Is told how far it is, and cancels.
        chosen: Networks.
        case: From `intake.adopt`.
        flips: Whether to average over mirror images, which takes eight times as long.
        folder: Where files go; exists.

    Raises:
        BratsError: The case or the networks cannot be used.
        CancelledError: The job was cancelled.
    """
    began = time.perf_counter()
    torch.set_num_threads(cores())  # of this thread, which is not the one that imported torch
    job.at("loading the network", 0.02)
    models = [with_flips(model, flips) for model in load(chosen)]
    segmenter = Segmenter(models, uncertainty=len(models) > 1)
    wanted = input_of(case, models)
    job.at("reading and preparing the scans", 0.05)
    prepared = segmenter.prepare(wanted)
    with _watched(job, models, prepared):
        found = segmenter(prepared)
    job.at("writing the mask and looking for what is doubtful", NETWORK[1])
    geometry = found.geometry
    mask = save_labels(folder, wanted, geometry, found.labels)
    maps = {"entropy": found.entropy, "disagreement": found.disagreement}
    kept = {}
    for name, values in maps.items():
        if values is not None:
            kept[name] = folder / f"{name}.nii.gz"
            save_map(kept[name], geometry, values)
    doubts = find_doubts(replace(wanted, mask=mask), prepared[0], found)
    doubts += [UNPROCESSED] * unprocessed(models)
    return Result(
        " + ".join(each.name for each in chosen),
        case,
        wanted.scheme,
        mask,
        kept,
        tuple(found.dice),
        found.dice,
        *measure(found.labels, geometry, tuple(found.dice), wanted.scheme),
        tuple(doubts),
        time.perf_counter() - began,
    )


def input_of(case: Case, models: Sequence[Model]) -> Case:
    """The case with the modalities that the networks take, and a coding that has all their labels.

    Raises:
        DataError: A modality is missing, and the networks were not trained for that.
    """
    model = strictest(models)
    wanted = [m for m in model.modalities if m in case.images or not model.tolerates_missing]
    covered = set(model.scheme.codes.values()) <= set(case.scheme.codes.values())
    scheme = case.scheme if covered else model.scheme
    chosen = replace(case.with_modalities(wanted), mask=None, scheme=scheme)
    model.preprocess.check(chosen)
    return chosen


def measure(
    labels: np.ndarray, geometry: Geometry, regions: Sequence[str], scheme: LabelScheme
) -> tuple[dict[str, float], dict[str, int]]:
    """Region → ml, and tissue → voxels, of labels (x, y, z).

    Tissues are those of the coding that the regions have or that were found, and the background of
    the whole file.
    """
    voxel_ml = abs(float(np.linalg.det(np.asarray(geometry.affine)[:3, :3]))) / 1000
    masks = region_masks(labels, regions)
    volumes = {r: float(m.sum()) * voxel_ml for r, m in zip(regions, masks, strict=True)}
    counts = np.bincount(labels.reshape(-1), minlength=len(TISSUES))
    counts[0] = int(np.prod(geometry.shape)) - int(counts[1:].sum())
    can_be = {label for region in regions for label in REGIONS[region]}
    known = {label for label in scheme.codes.values() if label in can_be or counts[label]}
    return volumes, {TISSUES[label]: int(counts[label]) for label in sorted({0, *known})}


def nested(regions: Sequence[str]) -> list[str]:
    """Regions from the widest to the narrowest, as they are painted over each other."""
    return sorted(regions, key=lambda region: -len(REGIONS[region]))


def with_flips(model: Model, flips: bool) -> Model:
    """A network, which others use in their own way, set to average over mirror images or not."""
    model.task.inference = replace(model.task.inference, tta="flips" if flips else "none")
    return model


@contextmanager
def _watched(job: Job, models: Sequence[Model], prepared: Sequence[Prepared]) -> Iterator[None]:
    """Tell of every batch of windows; between two of them, the job can be cancelled."""
    total = sum(count_windows(m, p) for m, p in zip(models, prepared, strict=True))
    done = 0
    low, high = NETWORK

    def count(net: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        nonlocal done
        share = min(1.0, done / total)
        job.at(f"segmenting: window {done + 1} of {total}", low + (high - low) * share)
        done += len(inputs[0])

    hooks = [model.task.net.register_forward_pre_hook(count) for model in models]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def count_windows(model: Model, prepared: Prepared) -> int:
    """Windows that a network looks at, mirror images and all axes included."""
    window = model.task.inference
    return sum(
        _windows_of(view, prepared) for view in (window.views() if window.axes else [window])
    )


def _windows_of(window: SlidingWindow, prepared: Prepared) -> int:
    brain = torch.from_numpy((prepared.image != 0).any(0))
    brain = brain[brain_box(brain, window.patch_size)]
    _, brain, _ = pad_to(brain[None], brain, window.patch_size)
    every = windows(brain.shape, window.patch_size, window.overlap)
    images = len(mirrors(window.patch_size)) if window.tta == "flips" else 1
    return images * sum(bool(brain[place].any()) for place in every)
