"""Reading NIfTI files, gzip-compressed ones with Intel's ISA-L, which takes half of zlib's time."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from isal import igzip, isal_zlib

from lightning_brats.errors import DataError

UNREADABLE: tuple[Any, ...] = (
    nib.filebasedimages.ImageFileError,
    nib.spatialimages.HeaderDataError,
    OSError,
    EOFError,
    ValueError,
    zlib.error,
    isal_zlib.error,
)
"""What reading a damaged file raises."""
KINDS = {348: nib.Nifti1Image, 540: nib.Nifti2Image}
"""Size of the header, with which every file begins → its kind."""


def read_nifti(path: Path, case: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Data as stored (scaled where the header says so) and the affine.

    Raises:
        DataError: The file is missing, unreadable or truncated.
    """
    if not path.exists():
        raise DataError("file not found", case=case, file=path, remedy="restore the file")
    try:
        image = _load(path)
        return np.asanyarray(image.dataobj), np.asarray(image.affine, np.float64)
    except UNREADABLE as error:
        raise DataError(
            f"unreadable or truncated NIfTI file ({error})",
            case=case,
            file=path,
            remedy="copy or download the file again, or exclude the case",
        ) from error


def _load(path: Path) -> Any:
    if path.suffix == ".gz":
        content = igzip.decompress(path.read_bytes())
        kind = KINDS.get(int.from_bytes(content[:4], "little"))
        if kind is not None:
            return kind.from_bytes(content)
    return nib.load(path)  # big-endian, or of another kind: nibabel tells
