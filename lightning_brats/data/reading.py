"""How a case's files become arrays and back: the one place where they do.

Shapes: `C` modalities, `X Y Z` voxels in the file's own order.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from lightning_brats.data.case import Case, ImageRef, Volume
from lightning_brats.data.nifti import read_nifti
from lightning_brats.errors import DataError, LabelError
from lightning_brats.labels import LabelScheme, UnknownLabelsError

AFFINE_TOLERANCE = 1e-2
"""Largest harmless difference between two affines of one case, in mm: releases differ by 1e-3."""


def read_case(case: Case) -> Volume:
    """Read and check one case: equal shapes and affines, finite voxels, known labels.

    Raises:
        DataError: A file is unreadable or disagrees with the others.
        LabelError: The mask's values contradict the case's label scheme.
    """
    image: np.ndarray | None = None
    affine: np.ndarray | None = None
    for channel, (modality, data, own) in enumerate(_stored_images(case)):
        path = case.images[modality].path
        if image is None or affine is None:
            # In the files' own order of axes, so that a channel is copied as it lies in memory.
            image = np.empty((len(case.images), *data.shape[::-1]), np.float32)
            image, affine = image.transpose(0, *range(data.ndim, 0, -1)), own
        _check_grid(case, modality, path, (data.shape, own), (image.shape[1:], affine))
        image[channel] = data
    if image is None or affine is None:
        raise DataError("no modality is listed", case=case.case, remedy="see data.modalities")
    brain = _read_brain(case, image, affine)
    return Volume(image, affine, _read_mask(case, image.shape[1:], affine), brain)


def read_images(case: Case) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Each modality's name, (X, Y, Z) float32 voxels and affine, on its own grid.

    Raises:
        DataError: A file is unreadable, has another number of dimensions or voxels not finite.
    """
    for modality, data, affine in _stored_images(case):
        yield modality, np.asarray(data, np.float32), affine


def _stored_images(case: Case) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """As `read_images`, but in the type that the file has."""
    loaded: dict[Path, tuple[np.ndarray, np.ndarray]] = {}
    for modality, ref in case.images.items():
        if ref.path not in loaded:
            loaded[ref.path] = _read_image(ref, case.case)
        data, affine = loaded[ref.path]
        data = _channel(case, ref, data)
        if not _is_finite(data):
            raise DataError(
                f"{modality} holds NaN or infinite voxels",
                case=case.case,
                file=ref.path,
                remedy="repair the volume (e.g. set them to 0) or exclude the case",
            )
        yield modality, data, affine


def read_native(case: Case) -> Volume:
    """A case as its files show it, for pictures: on the mask's grid, or the first modality's.

    Modalities on other grids are brought there by their scanner coordinates, nothing else; where
    all grids agree this is `read_case`.

    Raises:
        DataError: A file is unreadable.
        LabelError: The mask's values contradict the case's label scheme.
    """
    scans = {modality: (data, affine) for modality, data, affine in read_images(case)}
    if case.mask is None:
        mask, (first, affine) = None, next(iter(scans.values()))
        shape = first.shape
    else:
        mask, affine = read_mask(case.mask, case.scheme, case.case)
        shape = mask.shape
    image = np.stack([_on_grid(data, own, shape, affine) for data, own in scans.values()])
    brain = (image != 0).any(0)
    if case.brain is not None:
        data, own = read_nifti(case.brain, case.case)
        brain = _on_grid((data > 0.5).astype(np.float32), own, shape, affine) > 0.5
    return Volume(image, affine, mask, brain)


def read_mask(path: Path, scheme: LabelScheme, case: str) -> tuple[np.ndarray, np.ndarray]:
    """Mask as internal labels (X, Y, Z) uint8, and its affine.

    Raises:
        DataError: Unreadable, or not three-dimensional.
        LabelError: Values that the scheme does not define.
    """
    data, affine = read_nifti(path, case)
    data = data[..., 0] if data.ndim == 4 and data.shape[-1] == 1 else data
    if data.ndim != 3:
        raise DataError(
            f"the mask has {data.ndim} dimensions, expected 3",
            case=case,
            file=path,
            remedy="give one 3-D label volume",
        )
    try:
        return scheme.decode(data), affine
    except UnknownLabelsError as error:
        raise LabelError(
            str(error),
            case=case,
            file=path,
            remedy="name the coding the masks really have (data.labels=…) or correct the mask",
        ) from error


def write_mask(path: Path, labels: np.ndarray, affine: np.ndarray, scheme: LabelScheme) -> None:
    """Write internal labels in the scheme's own coding, with qform and sform set."""
    image = nib.Nifti1Image(scheme.encode(labels), affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    image.header.set_xyzt_units("mm")
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)


def _is_finite(data: np.ndarray) -> bool:
    """In single precision, in which it is used."""
    integers = np.issubdtype(data.dtype, np.integer)
    return integers or bool(np.isfinite(np.asarray(data, np.float32)).all())


def _read_image(ref: ImageRef, case: str) -> tuple[np.ndarray, np.ndarray]:
    if ref.slices:
        # Here, because SimpleITK is not needed by those who have NIfTI.
        from lightning_brats.data.raw.slices import read_series

        return read_series(ref.slices, case)
    return read_nifti(ref.path, case)


def _on_grid(
    data: np.ndarray, affine: np.ndarray, shape: tuple[int, ...], target: np.ndarray
) -> np.ndarray:
    """A volume at another grid's voxels, interpolated linearly; 0 where it does not reach."""
    if data.shape == shape and np.abs(affine - target).max() <= AFFINE_TOLERANCE:
        return data
    matrix = np.linalg.inv(affine) @ target
    return ndimage.affine_transform(data, matrix, output_shape=shape, order=1, mode="grid-constant")


def _channel(case: Case, ref: ImageRef, data: np.ndarray) -> np.ndarray:
    if ref.channel is None:
        data = data[..., 0] if data.ndim == 4 and data.shape[-1] == 1 else data
        expected = 3
    else:
        expected = 4
    if data.ndim != expected:
        raise DataError(
            f"the image has {data.ndim} dimensions, expected {expected}",
            case=case.case,
            file=ref.path,
            remedy="give one 3-D volume a modality, or name the layout",
        )
    if ref.channel is not None and ref.channel >= data.shape[-1]:
        raise DataError(
            f"channel {ref.channel} is wanted but the file has {data.shape[-1]}",
            case=case.case,
            file=ref.path,
            remedy="check the channel names in dataset.json",
        )
    return data if ref.channel is None else data[..., ref.channel]


def _check_grid(
    case: Case,
    name: str,
    path: Path,
    found: tuple[tuple[int, ...], np.ndarray],
    wanted: tuple[tuple[int, ...], np.ndarray],
) -> None:
    if found[0] != wanted[0]:
        raise DataError(
            f"{name} has shape {found[0]}, the first modality {wanted[0]}",
            case=case.case,
            file=path,
            remedy="co-register and resample the case's files to one grid, or have it done: "
            "preprocess=clinical",
        )
    difference = float(np.abs(found[1] - wanted[1]).max())
    if difference > AFFINE_TOLERANCE:
        raise DataError(
            f"the affine of {name} differs from the first modality's by {difference:.3g} mm",
            case=case.case,
            file=path,
            remedy="co-register the case's files (preprocess=clinical does), or correct the header",
        )


def _read_brain(case: Case, image: np.ndarray, affine: np.ndarray) -> np.ndarray:
    if case.brain is None:
        brain = image[0] != 0
        for channel in image[1:]:
            brain |= channel != 0
        return brain
    data, own = read_nifti(case.brain, case.case)
    _check_grid(case, "the brain mask", case.brain, (data.shape, own), (image.shape[1:], affine))
    return data > 0.5


def _read_mask(case: Case, shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray | None:
    if case.mask is None:
        return None
    mask, own = read_mask(case.mask, case.scheme, case.case)
    _check_grid(case, "the mask", case.mask, (mask.shape, own), (shape, affine))
    return mask
