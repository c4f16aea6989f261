"""Volumes of unknown origin: read within limits, and kept without what they say in words.

A NIfTI header has room for free text (`descrip`, `aux_file`, `db_name`, `intent_name`, extensions),
and names of patients are found there. What is kept of a file is its voxels and its place in space.

Shapes: `X Y Z` voxels, `C` channels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from math import prod
from pathlib import Path
from typing import IO, Any

import nibabel as nib
import numpy as np
from isal import igzip

from lightning_brats.data.nifti import UNREADABLE
from lightning_brats.errors import DataError

MOST_VOXELS = 128_000_000
"""Of a file with all its channels: at most 1 GB of memory, four modalities of 317³."""
MOST_CHANNELS = 8
SHORTEST, LONGEST = 8, 1024
"""Voxels along an axis."""
SPACINGS = (0.1, 20.0)
"""mm; an edge of a voxel outside of this is a mistake."""
MOST_HEADER = 1 << 20
"""Bytes before the voxels."""
HEADERS = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
"""Size that a header begins with → its kind."""
GZIP = b"\x1f\x8b"
COPY = "copy or export the file again, as NIfTI (.nii or .nii.gz)"


@dataclass(frozen=True)
class Header:
    """What is used of a header.

    Args:
        shape: (X, Y, Z) or (X, Y, Z, C).
        affine: (4, 4) voxel → RAS+ mm.
        dtype: As stored.
        offset: Bytes before the voxels.
        scale: Slope and intercept, `None` where the stored values are meant.
    """

    shape: tuple[int, ...]
    affine: np.ndarray
    dtype: np.dtype
    offset: int
    scale: tuple[float, float] | None

    @property
    def channels(self) -> int:
        """1 for a 3-D file."""
        return self.shape[3] if len(self.shape) == 4 else 1


def read_header(path: Path) -> Header:
    """Read and check a header; no voxel is read.

    Raises:
        DataError: The file is no NIfTI, or its header says what cannot be.
    """
    return _guarded(path, _header)


def read_volume(path: Path) -> tuple[np.ndarray, Header]:
    """Read a file of unknown origin; no more bytes than its header promises.

    Returns:
        (X, Y, Z) or (X, Y, Z, C): 8- and 16-bit integers as stored, larger ones as int32, all else
        as float32.

    Raises:
        DataError: As `read_header`, or the file is shorter than it says.
    """
    return _guarded(path, _volume)


def save_volume(path: Path, data: np.ndarray, affine: np.ndarray) -> None:
    """Write voxels and their place, and nothing else."""
    nib.save(nib.Nifti1Image(data, affine), path)


def _guarded(path: Path, read: Callable[[IO[bytes]], Any]) -> Any:
    try:
        with path.open("rb") as file:
            packed = file.read(2) == GZIP
            file.seek(0)
            if not packed:
                return read(file)
            with igzip.open(file, "rb") as stream:
                return read(stream)
    except UNREADABLE as error:
        raise DataError(f"unreadable or damaged ({error})", remedy=COPY) from error


def _header(stream: IO[bytes]) -> Header:
    first = stream.read(max(HEADERS))
    sizes = (int.from_bytes(first[:4], order) for order in ("little", "big"))
    kind = next((HEADERS[size] for size in sizes if size in HEADERS), None)
    if kind is None:
        raise DataError("this is no NIfTI file", remedy=COPY)
    found = kind.from_fileobj(BytesIO(first))
    if not bytes(found["magic"]).startswith(b"n+"):
        raise DataError("the voxels are in another file (.hdr and .img)", remedy=COPY)
    slope, intercept = found.get_slope_inter()
    scaled = slope is not None and (slope, intercept) != (1, 0)
    header = Header(
        _squeezed(tuple(int(n) for n in found.get_data_shape())),
        np.asarray(found.get_best_affine(), float),
        found.get_data_dtype(),
        int(found.get_data_offset()),
        (float(slope), float(intercept)) if scaled else None,
    )
    _check(header)
    return header


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _check(header: Header) -> None:
    shape = header.shape
    if not 3 <= len(shape) <= 4 or header.channels > MOST_CHANNELS:
        raise DataError(
            f"the image has shape {shape}; three axes are expected, or up to {MOST_CHANNELS} "
            "channels along a fourth",
            remedy="give one volume a modality",
        )
    if min(shape[:3]) < SHORTEST or max(shape[:3]) > LONGEST or prod(shape) > MOST_VOXELS:
        raise DataError(
            f"the image has {' × '.join(map(str, shape))} voxels; {SHORTEST} to {LONGEST} "
            f"along an axis, and {MOST_VOXELS // 10**6} million in all, are allowed",
            remedy="resample the volume, or give one that is complete",
        )
    if header.dtype.kind not in "iuf" or header.dtype.itemsize > 8:
        raise DataError(
            f"the voxels are of type {header.dtype}, not real numbers",
            remedy="export the image as integers or floats",
        )
    edges = nib.affines.voxel_sizes(header.affine)
    if (
        not np.isfinite(header.affine).all()
        or not ((edges >= SPACINGS[0]) & (edges <= SPACINGS[1])).all()
    ):
        raise DataError(
            f"voxel edges of {' × '.join(f'{edge:.3g}' for edge in edges)} mm cannot be",
            remedy="correct the header's affine",
        )
    # A matrix that flattens space has a volume far below the product of its edges.
    if abs(np.linalg.det(header.affine[:3, :3])) < 1e-3 * prod(edges):
        raise DataError("the affine flattens space", remedy="correct the header's affine")
    if not 0 < header.offset <= MOST_HEADER:
        raise DataError("the header is larger than any header is", remedy=COPY)


def _volume(stream: IO[bytes]) -> tuple[np.ndarray, Header]:
    header = _header(stream)
    stream.seek(0)
    stream.read(header.offset)
    wanted = prod(header.shape) * header.dtype.itemsize
    content = stream.read(wanted)
    if len(content) < wanted:
        share = len(content) / wanted
        raise DataError(f"the file ends after {share:.0%} of its voxels", remedy=COPY)
    data = np.frombuffer(content, header.dtype).reshape(header.shape, order="F")
    if header.scale is not None:
        slope, intercept = header.scale
        return (data * np.float32(slope) + np.float32(intercept)).astype(np.float32), header
    return _plain(data), header


def _plain(data: np.ndarray) -> np.ndarray:
    """In this machine's byte order, and in a type that every reader knows."""
    if data.dtype.kind == "f":
        return data.astype(np.float32)
    if data.dtype.itemsize <= 2:
        return data.astype(data.dtype.newbyteorder("="))
    low, high = int(data.min()), int(data.max())
    if low < -(2**31) or high >= 2**31:
        raise DataError(f"values from {low} to {high} cannot be intensities", remedy=COPY)
    return data.astype(np.int32)
