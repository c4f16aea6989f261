"""Synthetic cases as files: a folder a case in the layout of the hosts, and the record beside it.

A case has its host's grid, affine, file names and label coding. Every voxel outside the hole (the
new tumour, the host's own, and a margin around both) keeps the host's value exactly; inside it the
image is generated, blended with the host's over the margin. Where the host's own tumour was, only
the outermost voxels of the blend still show what lay around it.

Shapes: `C` modalities, `x y z` a prepared volume, `X Y Z` the file's grid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import edt
import nibabel as nib
import numpy as np

from lightning_brats.data.case import Case, Volume
from lightning_brats.data.nifti import read_nifti
from lightning_brats.data.preprocess import Prepared, Preprocess
from lightning_brats.data.reading import read_case, write_mask
from lightning_brats.errors import ConfigError, DataError
from lightning_brats.labels import MODALITIES, LabelScheme

DESCRIPTION = b"synthetic, made by lightning_brats"
"""In the header of every image, where viewers show it."""
OUTSIDE = (
    "Outside the new tumour, the host's own and a margin around both, every voxel is the host's. "
    "Inside, the image is generated and blended with the host's over the margin."
)


def check_reversible(preprocess: Preprocess) -> None:
    """Refuse a preparation that cannot be undone voxel by voxel.

    Raises:
        ConfigError: Intensities were cut off or bent, or volumes resampled or cut to a fixed box:
            a tumour beyond the box would stay in the image and be lost from the mask.
    """
    linear = preprocess.normalisation in ("zscore", "minmax") and preprocess.clip is None
    whole = preprocess.spacing is None and preprocess.crop is None
    if not linear or not whole or preprocess.raw != Preprocess().raw:
        raise ConfigError(
            "the generator was trained on images that cannot be brought back to the files' own "
            "grid and intensities",
            remedy="train it with preprocess.normalisation=zscore, preprocess.clip=null, "
            "preprocess.spacing=null and preprocess.crop=null, without raw steps",
        )


def check_modalities(modalities: Sequence[str]) -> None:
    """Refuse modalities that BraTS' file names have no ending for.

    Raises:
        ConfigError: There is one.
    """
    unknown = [modality for modality in modalities if modality not in MODALITIES]
    if unknown:
        raise ConfigError(
            f"BraTS' layout has no file name for {', '.join(unknown)}",
            remedy=f"train the generator on some of {', '.join(MODALITIES)} (data.modalities)",
        )


def write_case(
    folder: Path,
    host: Case,
    prepared: Prepared,
    image: np.ndarray,
    labels: np.ndarray,
    hole: np.ndarray,
) -> None:
    """Write a case's images and mask; outside the hole every voxel is the host's.

    Args:
        folder: Its own, named like it; made here.
        host: Whose brain it is.
        prepared: The same, prepared.
        image: (C, x, y, z) in prepared intensities.
        labels: (x, y, z) internal labels.
        hole: (x, y, z) bool: what is generated.

    Raises:
        DataError: The host's files cannot be read any more.
    """
    volume = read_case(host)
    folder.mkdir(parents=True)
    for channel, modality in enumerate(host.images):
        change = np.where(hole, _change(volume, prepared, image[channel], channel), 0)
        full = prepared.geometry.restore(change)
        data = _stored(volume.image[channel], full, volume.brain, host, modality)
        file = nib.Nifti1Image(data, volume.affine)
        file.set_qform(volume.affine, code=1)
        file.set_sform(volume.affine, code=1)
        file.header.set_xyzt_units("mm")
        file.header["descrip"] = DESCRIPTION
        nib.save(file, folder / file_name(host, modality, folder.name))
    mask = prepared.geometry.restore(labels)
    write_mask(folder / file_name(host, "seg", folder.name), mask, volume.affine, host.scheme)


def blended(own: np.ndarray, generated: np.ndarray, hole: np.ndarray, width: int) -> np.ndarray:
    """Two images (C, x, y, z), the second's weight rising from the hole's border inwards.

    There is a seam to hide only where brain is kept. At the brain's surface, and at the volume's
    edge, a gradual weight would keep a rim of what has to go.

    Args:
        own: Seen outside the hole; 0 outside the brain.
        generated: Seen alone from `width` voxels away from the brain that is kept.
        hole: (x, y, z) bool.
        width: In voxels.
    """
    kept = (own != 0).any(0) & ~hole
    depth = edt.edt(~kept)
    weight = np.where(hole, np.clip(depth / width, 0, 1), 0).astype(np.float32)
    return own + weight * (generated - own)


def file_name(host: Case, role: str, name: str) -> str:
    """What a file of the new case is called: as the host's, with the new name for the host's.

    Args:
        host: Whose file names are followed, where they begin with its identifier.
        role: Modality, or `seg`.
        name: Identifier of the new case.
    """
    path = host.mask if role == "seg" else host.images[role].path
    stacked = role != "seg" and host.images[role].channel is not None
    if path is not None and not stacked and path.parent.name == host.case:
        ending = path.name.removeprefix(host.case)
        if ending != path.name:
            return name + ending
    return f"{name}-{role}.nii.gz"


def _change(volume: Volume, prepared: Prepared, image: np.ndarray, channel: int) -> np.ndarray:
    """New minus the host's intensities (x, y, z), in the file's own scale."""
    geometry = prepared.geometry
    crop = tuple(slice(low, high) for low, high in geometry.box)
    raw = np.asarray(geometry.to_canonical(volume.image[channel])[crop], np.float64)
    scaled = np.asarray(prepared.image[channel], np.float64)
    inside = (np.asarray(prepared.image) != 0).any(0)
    slope, offset = np.polyfit(scaled[inside], raw[inside], 1)
    return (slope * image + offset - raw).astype(np.float32)


def _stored(
    own: np.ndarray, change: np.ndarray, brain: np.ndarray, host: Case, modality: str
) -> np.ndarray:
    """The new volume (X, Y, Z) in the file's type, the brain not darker than the host's."""
    kind = read_nifti(host.images[modality].path, host.case)[0].dtype
    values = np.where(change != 0, np.maximum(own + change, own[brain].min()), own)
    if np.issubdtype(kind, np.integer):
        # Many programs do not read integers of 64 bits, so nibabel refuses to write them.
        kind = np.dtype(np.int32) if kind.itemsize > 4 else kind
        limits = np.iinfo(kind)
        return np.clip(np.rint(values), limits.min, limits.max).astype(kind)
    return values.astype(np.float32)


def record(
    scheme: LabelScheme, facts: Mapping[str, Any], cases: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Contents of `synthetic.json`.

    Args:
        scheme: Coding of the masks.
        facts: Generator, seed, patients that it learned from.
        cases: Identifier → donor, host and transform.
    """
    codes = {str(value): label for value, label in scheme.codes.items()}
    labels = {"name": scheme.name, "codes": codes, "regions": list(scheme.regions)}
    return {"synthetic": True, "outside": OUTSIDE, "labels": labels, **facts, "cases": dict(cases)}


def one_scheme(cases: Sequence[Case]) -> LabelScheme:
    """The coding that all cases have: a data set has one.

    Raises:
        DataError: They have several.
    """
    first = cases[0]
    other = next((case for case in cases if case.scheme != first.scheme), None)
    if other is not None:
        raise DataError(
            f"its masks hold {other.scheme.describe()}, those of {first.case} "
            f"{first.scheme.describe()}; synthetic cases keep their host's coding, and a data set "
            "has one",
            case=other.case,
            remedy="train a generator on each data set",
        )
    return first.scheme
