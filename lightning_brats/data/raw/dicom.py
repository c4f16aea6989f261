"""DICOM series: found in a folder, checked slice by slice, read as one volume.

SimpleITK (GDCM) reads the files; where they lie is worked out here from each slice's own position,
so that a missing, doubled or foreign slice is an error instead of a crooked volume.
"""

from __future__ import annotations

import locale
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from lightning_brats.data.layouts.files import IGNORED, stem
from lightning_brats.errors import DataError

DESCRIPTION, STUDY, AGENT = "0008|103e", "0020|000d", "0018|0010"
ENDINGS = (".dcm", ".ima", ".dicom")
TOLERANCE = 0.05
"""Share of the slice distance that a slice may lie off."""


@dataclass(frozen=True)
class Series:
    """Files that a scanner says belong together.

    Args:
        name: Series description, or a file's name.
        folder: Where they lie, as seen from where the search began.
        files: All of them.
        study: Identifier of the examination.
        agent: Whether a contrast agent is noted.
    """

    name: str
    folder: str
    files: tuple[Path, ...]
    study: str = ""
    agent: bool = False

    def __str__(self) -> str:
        slices = f", {len(self.files)} slices" if len(self.files) > 1 else ""
        return f"'{self.name}' ({self.folder}{slices})"


def holds_dicom(folder: Path) -> bool:
    """Whether a file in the folder or below it is DICOM; looks at one file a folder."""
    return any(_is_dicom(files[0]) for _, files in _walk(folder))


def find_series(root: Path) -> list[Series]:
    """Every DICOM series in a folder and below it.

    Raises:
        DataError: There are DICOM files, but none that GDCM can read.
    """
    found = []
    with _quiet():
        for folder, files in _walk(root):
            if not any(_is_dicom(path) for path in files[:3]):
                continue
            for uid in sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder)):
                names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), uid)
                found.append(_series(root, folder, tuple(Path(name) for name in names)))
    if not found:
        raise DataError(
            "there is no DICOM series that can be read",
            file=root,
            remedy="check that the files were copied whole, or convert them with dcm2niix",
        )
    return found


def read_series(files: Sequence[Path], case: str) -> tuple[np.ndarray, np.ndarray]:
    """Voxels (X, Y, Z) float32 and their affine to RAS+ mm.

    Args:
        files: The slices, in any order.
        case: For messages.

    Raises:
        DataError: A slice is unreadable, missing, doubled, or of another volume.
    """
    with _quiet():
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
    reader = _information(path, case)
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


def _series(root: Path, folder: Path, files: tuple[Path, ...]) -> Series:
    reader = _information(files[0], None)
    tags = {
        key: reader.GetMetaData(key).strip() if reader.HasMetaDataKey(key) else ""
        for key in (DESCRIPTION, STUDY, AGENT)
    }
    place = os.path.relpath(folder, root)
    where = root.name if place == "." else place
    name = tags[DESCRIPTION] or folder.name
    return Series(name, where, files, tags[STUDY], bool(tags[AGENT]))


def _information(path: Path, case: str | None) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _unreadable(error, path, case) from error
    return reader


def _walk(root: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Folders and the files in them that may be DICOM."""
    for place, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith(IGNORED))
        kept = [
            Path(place) / name
            for name in sorted(names)
            if not name.startswith(IGNORED) and stem(name) is None and name != "DICOMDIR"
        ]
        if kept:
            yield Path(place), kept


def _is_dicom(path: Path) -> bool:
    if path.suffix.lower() in ENDINGS:
        return True
    try:
        with path.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


@contextmanager
def _quiet() -> Iterator[None]:
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
