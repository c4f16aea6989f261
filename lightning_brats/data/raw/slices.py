"""The slices of one DICOM series, checked one by one and read as a volume.

SimpleITK (GDCM) reads the files; where they lie is worked out here from each slice's own position,
so that a missing, doubled or foreign slice is an error instead of a crooked volume.
"""

from __future__ import annotations

import locale
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from lightning_brats.errors import DataError

TOLERANCE = 0.05
"""Share of the slice distance that a slice may lie off."""


def read_series(files: Sequence[Path], case: str) -> tuple[np.ndarray, np.ndarray]:
    """Voxels (X, Y, Z) float32 and their affine to RAS+ mm.

    Args:
        files: The slices, in any order.
        case: For messages.

    Raises:
        DataError: A slice is unreadable, missing, doubled, or of another volume.
    """
    with quiet():
        slices = [_place(path, case) for path in files]
        first = slices[0]
        for other in slices[1:]:
            if not first.fits(other):
                raise _mixed(
                    f"{other.path.name} has other voxels or another direction than "
                    f"{first.path.name}",
                    first.path.parent,
                    case,
                )
        normal = np.cross(first.axes[:, 0], first.axes[:, 1])
        slices.sort(key=lambda one: float(one.origin @ normal))
        step = _step(slices, normal, case)
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames([str(one.path) for one in slices])
        try:
            voxels = sitk.GetArrayFromImage(reader.Execute()).T
        except RuntimeError as error:
            raise _unreadable(error, first.path.parent, case) from error
    affine = np.eye(4)
    affine[:3, :2], affine[:3, 2], affine[:3, 3] = (
        first.axes * first.spacing,
        step,
        slices[0].origin,
    )
    return voxels.astype(np.float32), np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


@dataclass(frozen=True)
class _Slice:
    """A file and where it lies, in LPS+ mm."""

    path: Path
    size: tuple[int, ...]
    spacing: np.ndarray
    origin: np.ndarray
    axes: np.ndarray

    def fits(self, other: _Slice) -> bool:
        """Whether both can be slices of one volume."""
        return (
            self.size == other.size
            and np.allclose(self.spacing, other.spacing, rtol=1e-3)
            and np.allclose(self.axes, other.axes, atol=1e-3)
        )


def _place(path: Path, case: str) -> _Slice:
    reader = information(path, case)
    size = reader.GetSize()
    if len(size) > 2 and size[2] > 1:
        raise DataError(
            f"it is a multi-frame DICOM file ({size[2]} frames), which is not read",
            case=case,
            file=path,
            remedy="convert it to NIfTI with dcm2niix and give that",
        )
    if reader.GetNumberOfComponents() != 1:
        raise DataError(
            "it is a colour picture, not a scan",
            case=case,
            file=path,
            remedy="take the series out, or name the right one with modalities_from",
        )
    axes = np.asarray(reader.GetDirection()).reshape(len(size), -1)
    return _Slice(
        path,
        tuple(size[:2]),
        np.asarray(reader.GetSpacing()[:2]),
        np.asarray(reader.GetOrigin(), float),
        axes[:, :2],
    )


def _step(slices: Sequence[_Slice], normal: np.ndarray, case: str) -> np.ndarray:
    """(3,) from one slice to the next, the same all through."""
    folder = slices[0].path.parent
    if len(slices) < 2:
        raise DataError(
            "the series has one slice only",
            case=case,
            file=slices[0].path,
            remedy="give the whole series, or name the right one with modalities_from",
        )
    origins = np.stack([one.origin for one in slices])
    gaps = np.diff(origins @ normal)
    usual = float(np.median(gaps))
    doubled = np.flatnonzero(gaps < max(TOLERANCE * usual, 1e-3))
    if doubled.size:
        names = " and ".join(one.path.name for one in slices[doubled[0] : doubled[0] + 2])
        raise _mixed(f"{names} lie at the same place", folder, case)
    wide = np.flatnonzero(gaps > (1 + TOLERANCE) * usual)
    if wide.size or gaps.min() < (1 - TOLERANCE) * usual:
        where = int(wide[0]) if wide.size else int(gaps.argmin())
        raise DataError(
            f"slices are {usual:.2f} mm apart, but {gaps[where]:.2f} mm between "
            f"{slices[where].path.name} and {slices[where + 1].path.name}",
            case=case,
            file=folder,
            remedy="restore the missing slices, or take the foreign ones out",
        )
    step = (origins[-1] - origins[0]) / (len(slices) - 1)
    if np.linalg.norm(step - (step @ normal) * normal) > TOLERANCE * usual:
        raise _mixed("the slices are sheared against each other", folder, case)
    return step


def information(path: Path, case: str | None) -> sitk.ImageFileReader:
    """A file's tags and geometry, without its voxels.

    Raises:
        DataError: It cannot be read.
    """
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _unreadable(error, path, case) from error
    return reader


@contextmanager
def quiet() -> Iterator[None]:
    """Without ITK's remarks on odd tags, which are checked here, and with the locale put back.

    GDCM sets the process' locale to "C", after which Python reads and writes every text file as
    ASCII.
    """
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    spoken = locale.setlocale(locale.LC_ALL)
    try:
        yield
    finally:
        locale.setlocale(locale.LC_ALL, spoken)
        sitk.ProcessObject.SetGlobalWarningDisplay(before)


def _mixed(problem: str, folder: Path, case: str) -> DataError:
    return DataError(
        f"slices of several volumes are mixed: {problem}",
        case=case,
        file=folder,
        remedy="give each series a folder of its own (dcm2niix sorts and converts them)",
    )


def _unreadable(error: RuntimeError, file: Path, case: str | None) -> DataError:
    last = str(error).strip().splitlines()[-1]
    return DataError(
        f"unreadable DICOM ({last})",
        case=case,
        file=file,
        remedy="copy the file again, or convert the series with dcm2niix",
    )
