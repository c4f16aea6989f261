"""What can be wrong with data that reads well, and with the folders that are written to."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np

from lightning_brats.data.case import Case, Volume
from lightning_brats.errors import DataError
from lightning_brats.labels import ET, REGIONS

TINY_ML = 0.1
"""Below this a tumour is as small as what post-processing commonly removes (100 voxels of 1 mm)."""

KINDS = {
    "negative intensities": "intensity",
    "tumour": "tumour",
    "brain": "brain",
    "regist": "registration",
}
"""What a warning says somewhere → what it is about; the first that fits."""
HARMLESS = ("negative intensities", "no enhancing tumour")
"""How warnings begin that are common and change nothing."""
NOT_STRIPPED = 0.95
"""Share of non-zero voxels that no skull-stripped volume reaches, however tightly it is cropped."""


def check_volume(case: Case, volume: Volume) -> list[str]:
    """Warnings about one case; none of them keeps it from being used.

    Raises:
        DataError: There is no brain, or a modality is constant inside it.
    """
    volume = volume.in_memory_order()
    brain = volume.brain
    if not brain.any():
        raise DataError(
            "the brain is empty: "
            + ("every voxel is zero" if case.brain is None else "so is the brain mask"),
            case=case.case,
            file=case.brain or case.files[0],
            remedy="restore the files, or exclude the case",
        )
    negative = []
    box = bounding_box(brain)  # the rest need not be searched for brain, four times over
    for (modality, ref), channel in zip(case.images.items(), volume.image, strict=True):
        values = channel[box][brain[box]]
        low, high = float(values.min()), float(values.max())
        if low == high:
            raise DataError(
                f"{modality} is {low:g} in the whole brain",
                case=case.case,
                file=ref.path,
                remedy="restore the file, exclude the case, or leave the modality out",
            )
        if low < 0:
            negative.append(f"{modality} ({100 * float((values < 0).mean()):.1f} %)")
    warnings = [f"negative intensities in the brain: {', '.join(negative)}"] if negative else []
    if case.brain is None and float(brain.mean()) >= NOT_STRIPPED:
        warnings.append(
            f"{100 * float(brain.mean()):.0f} % of the voxels are non-zero, so the volume is "
            "probably not skull-stripped; give a brain mask"
        )
    return [*volume.warnings, *warnings, *_tumour_warnings(case, volume)]


def _tumour_warnings(case: Case, volume: Volume) -> list[str]:
    if volume.mask is None:
        return []
    if not volume.mask.any():
        return ["the mask has no tumour"]
    box = bounding_box(volume.mask)
    mask = volume.mask[box]
    tumour = np.isin(mask, REGIONS["WT"])
    if not tumour.any():
        return ["the mask has no tumour"]
    warnings = []
    millilitres = float(tumour.sum()) * abs(float(np.linalg.det(volume.affine[:3, :3]))) / 1000
    if millilitres < TINY_ML:
        warnings.append(f"the tumour is tiny: {millilitres:.3f} ml")
    if "ET" in case.scheme.regions and not (mask == ET).any():
        warnings.append("no enhancing tumour")
    if not (tumour & volume.brain[box]).any():
        warnings.append("the whole tumour lies outside the brain; is the mask another case's?")
    return warnings


def bounding_box(inside: np.ndarray) -> tuple[slice, slice, slice]:
    """Smallest box around the non-zero voxels (X, Y, Z), of which there is at least one."""
    box = []
    for axis in range(3):
        places = np.flatnonzero(inside.any(tuple(a for a in range(3) if a != axis)))
        box.append(slice(int(places[0]), int(places[-1]) + 1))
    return box[0], box[1], box[2]


def warning_kind(warning: str) -> str:
    """What a case's warning is about, `other` where that is not known."""
    return next((kind for words, kind in KINDS.items() if words in warning), "other")


def check_writable(folder: Path) -> None:
    """Make the folder if need be, and write to it.

    Raises:
        DataError: That is not possible.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Permission bits do not tell: administrators, network disks and quotas differ.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise DataError(
            f"no write permission ({error.strerror})",
            file=folder,
            remedy="name a folder you may write to, or have its permissions changed",
        ) from error


def check_space(folder: Path, bytes_needed: int) -> None:
    """Whether so much fits on the folder's disk.

    Args:
        folder: May be yet to be made.
        bytes_needed: Bytes about to be written.

    Raises:
        DataError: It does not.
    """
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if free < bytes_needed:
        raise DataError(
            f"the disk has {free / 1e9:.1f} GB free, {bytes_needed / 1e9:.1f} GB are needed",
            file=folder,
            remedy="free space, or name a folder on another disk",
        )
