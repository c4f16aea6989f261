"""DICOM series in a folder, as SimpleITK (GDCM) finds them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from lightning_brats.data.layouts.files import IGNORED, stem
from lightning_brats.data.raw.slices import information, quiet
from lightning_brats.errors import DataError

DESCRIPTION, STUDY, AGENT = "0008|103e", "0020|000d", "0018|0010"
ENDINGS = (".dcm", ".ima", ".dicom")


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
    with quiet():
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


def _series(root: Path, folder: Path, files: tuple[Path, ...]) -> Series:
    reader = information(files[0], None)
    tags = {
        key: reader.GetMetaData(key).strip() if reader.HasMetaDataKey(key) else ""
        for key in (DESCRIPTION, STUDY, AGENT)
    }
    place = os.path.relpath(folder, root)
    where = root.name if place == "." else place
    name = tags[DESCRIPTION] or folder.name
    return Series(name, where, files, tags[STUDY], bool(tags[AGENT]))


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
