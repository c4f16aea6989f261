"""Prepared cases made up from a few numbers, on disk as the cache writes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from lightning_brats.data.audit import check_volume
from lightning_brats.data.case import Case, ImageRef, Volume
from lightning_brats.data.entry import CachedCase, write_entry
from lightning_brats.data.preprocess import Preprocess
from lightning_brats.data.statistics import case_statistics
from lightning_brats.labels import MODALITIES, SCHEMES, LabelScheme

SHAPE = (20, 22, 18)
SPACING = 7.2
"""The ellipsoid below then holds about 1,100 ml."""
BRIGHTNESS = {"t1n": (-1, -2, 0), "t1c": (-1, -1, 4), "t2w": (3, 3, 2), "t2f": (1, 3, 2)}
"""Modality → standard deviations that core, oedema and enhancing tumour are brighter by."""


@dataclass
class Made:
    """What differs from an ordinary case.

    Args:
        case: Identifier.
        patient: The case's own by default.
        cohort: Data set.
        look: Seed of the anatomy; cases of one look are copies.
        spacing: Voxel edges in mm.
        axes: Signs of the affine's diagonal.
        tumour: Labels within the radii (2, 3, 1 from outside to inside); `None` without a mask.
        brightness: See `BRIGHTNESS`.
        modalities: Names.
        scheme: Coding.
    """

    case: str
    patient: str = ""
    cohort: str = "A"
    look: int | None = None
    spacing: tuple[float, float, float] = (SPACING,) * 3
    axes: tuple[int, int, int] = (-1, -1, 1)
    tumour: tuple[float, float, float] | None = (0.5, 0.35, 0.2)
    brightness: dict[str, tuple[int, int, int]] = field(default_factory=lambda: dict(BRIGHTNESS))
    modalities: tuple[str, ...] = MODALITIES
    scheme: LabelScheme = SCHEMES["brats2023"]
    change: Any = None


def write(folder: Path, made: Made) -> CachedCase:
    """Prepare a made-up case."""
    case, volume = build(made)
    prepared = Preprocess()(case, volume)
    known = {
        "preprocess": {},
        "warnings": check_volume(case, volume),
        "statistics": case_statistics(case, volume, prepared),
    }
    path = folder / made.case.replace("/", "_").replace("<", "_")
    path.mkdir(parents=True)
    write_entry(path, case, prepared, known)
    return CachedCase(path)


def build(made: Made) -> tuple[Case, Volume]:
    """The case, and what would be read of it."""
    seed = made.look if made.look is not None else crc32(made.case.encode())
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij"))
    brain = (grid**2).sum(0) < 0.9
    mask = np.zeros(SHAPE, np.uint8)
    radius = np.sqrt(((grid - np.array([0.25, -0.1, 0.1])[:, None, None, None]) ** 2).sum(0))
    for label, limit in zip((2, 3, 1), made.tumour or (), strict=False):
        mask[radius < limit] = label
    image = np.empty((len(made.modalities), *SHAPE), np.float32)
    for channel, modality in zip(image, made.modalities, strict=True):
        channel[:] = 1000 + 100 * np.clip(rng.standard_normal(SHAPE), -3, 3)
        for label, more in zip((1, 2, 3), made.brightness.get(modality, (0, 0, 0)), strict=True):
            channel[mask == label] += 100 * more
        channel *= brain
    volume = Volume(
        image,
        np.diag([*np.multiply(made.axes, made.spacing), 1.0]),
        None if made.tumour is None else mask,
        brain,
    )
    if made.change is not None:
        volume = made.change(volume)
    images = {modality: ImageRef(Path(f"{modality}.nii.gz")) for modality in made.modalities}
    patient = made.patient or made.case
    return Case(made.case, patient, images, made.scheme, cohort=made.cohort), volume
