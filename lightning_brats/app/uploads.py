"""What a browser sends, put on disk within limits and recognised.

Originals stay in the session's folder, since what they are taken for can be corrected, until
something else is given or the session ends.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from lightning_brats.app.archives import safe_parts, shown, unpack
from lightning_brats.app.intake import NAME, Given, recognise
from lightning_brats.data.layouts.files import stem
from lightning_brats.data.layouts.names import parse_case
from lightning_brats.data.phantom import default_root, write_phantom
from lightning_brats.errors import DataError

ARCHIVE = ".zip"
ACCEPTED = (".nii", ".nii.gz", ARCHIVE, ".json", ".csv")
MOST_FILES = 100
EXAMPLE = {"layout": "brats2023-gli", "cases": 1, "seed": 7}
"""A patient of the phantom that no run is trained on by default."""

_reading = threading.Lock()


class Upload(Protocol):
    """A file as Streamlit gives it; of a folder, its name is a relative path."""

    name: str
    size: int

    def getbuffer(self) -> memoryview:
        """Its content."""


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Volumes of only one session are in memory while they are read in."""
    with _reading:
        yield


def receive(uploads: Sequence[Upload], folder: Path, most_bytes: int) -> list[Given]:
    """Put uploads into a fresh folder, unpack archives, and say what is there.

    Args:
        uploads: NIfTI files, a case's folder, or archives of these.
        folder: Is emptied first.
        most_bytes: Of all files, archives unfolded.

    Raises:
        DataError: A file is of another kind or broken, an archive is hostile, or nothing is there.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _check(uploads, most_bytes)
    left = most_bytes
    plain = [each for each in uploads if not _is_archive(each.name)]
    own = folder / "files" / _case_name([Path(each.name).name for each in plain])
    for each in plain:
        path = own.joinpath(*safe_parts(each.name))
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            raise DataError(f"{shown(each.name)} was given twice", remedy="give it once")
        path.write_bytes(each.getbuffer())
        left -= each.size
    for number, each in enumerate(each for each in uploads if _is_archive(each.name)):
        packed, place = folder / f"{number}{ARCHIVE}", folder / "files" / f"archive_{number}"
        packed.write_bytes(each.getbuffer())
        place.mkdir(parents=True)
        left -= sum(path.stat().st_size for path in unpack(packed, place, left))
        packed.unlink()
    return recognise(folder / "files")


def receive_each(uploads: Sequence[Upload], folder: Path, most_bytes: int) -> list[Given]:
    """As `receive`, but every upload holds cases of its own; the limit is that of all together."""
    shutil.rmtree(folder, ignore_errors=True)
    _check(uploads, most_bytes)
    found: list[Given] = []
    left = most_bytes
    for number, upload in enumerate(uploads):
        own = folder / str(number)
        found += receive([upload], own, left)
        left -= sum(path.stat().st_size for path in own.rglob("*") if path.is_file())
    return found


def example(spacing: float, **which: Any) -> list[Given]:
    """The built-in case, a phantom, made where it is not there yet.

    Args:
        spacing: Edge of a voxel in mm.
        which: Other arguments of `write_phantom` than those of `EXAMPLE`.
    """
    chosen: dict[str, Any] = {**EXAMPLE, **which, "spacing": spacing}
    root = write_phantom(default_root(**chosen), **chosen)
    return recognise(root)


def _check(uploads: Sequence[Upload], most_bytes: int) -> None:
    if not uploads:
        raise DataError("no file was given", remedy="give .nii or .nii.gz files, or a zip of them")
    if len(uploads) > MOST_FILES:
        raise DataError(
            f"{len(uploads)} files were given; {MOST_FILES} are allowed", remedy="give one case"
        )
    size = sum(each.size for each in uploads)
    if size > most_bytes:
        raise DataError(
            f"the files have {size / 1e6:,.0f} MB; {most_bytes / 1e6:,.0f} MB are allowed",
            remedy="give one case; the app's setting upload_mb allows more",
        )
    for each in uploads:
        safe_parts(each.name)
        if not each.name.lower().endswith(ACCEPTED):
            raise DataError(
                f"{shown(each.name)} is neither NIfTI nor a zip",
                remedy="give .nii or .nii.gz files, or a zip of them; DICOM is read by "
                "experiments/predict.py",
            )
        if not each.size:
            raise DataError(f"{shown(each.name)} is empty", remedy="copy or export it again")


def _is_archive(name: str) -> bool:
    return name.lower().endswith(ARCHIVE)


def _case_name(names: Iterable[str]) -> str:
    """The release's name of the case, where the files have one: it tells the label coding."""
    stems = [str(own) for name in names if (own := stem(name)) is not None]
    cases = {own[: max(own.rfind("_"), own.rfind("-"), 0)] for own in stems}
    known = [case for case in cases if parse_case(case)]
    return known[0] if len(known) == 1 else NAME
