"""Unpacking an archive of unknown origin: nothing leaves the folder, nothing fills the disk."""

from __future__ import annotations

import lzma
import stat
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath
from zipfile import BadZipFile, LargeZipFile, ZipFile, ZipInfo

from lightning_brats.data.layouts.files import IGNORED, stem
from lightning_brats.errors import DataError

MOST_FILES = 1000
WANTED = (".json", ".csv")
"""Endings of files that describe a data set; besides these, NIfTI files are unpacked."""
CHUNK = 1 << 20
ENCRYPTED = 1
"""Bit of a member's flags."""
BROKEN = (
    BadZipFile,
    LargeZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    OSError,
    ValueError,
)


def unpack(archive: Path, folder: Path, most_bytes: int) -> list[Path]:
    """Unpack the NIfTI files of a zip, and what describes them.

    All names are checked before anything is written; sizes are counted while writing, since what
    an archive says of itself may be untrue.

    Args:
        archive: The file.
        folder: Where to; exists.
        most_bytes: That all files together may have.

    Returns:
        The files.

    Raises:
        DataError: It is damaged, encrypted, holds links, names outside of it, or too much.
    """
    try:
        with ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if not member.is_dir()]
            _check(members, most_bytes)
            wanted = [member for member in members if _is_wanted(member.filename)]
            return _write(opened, wanted, folder, most_bytes)
    except BROKEN as error:
        raise DataError(
            f"the archive is damaged or no zip ({error})", remedy="make it again, as a zip"
        ) from error


def safe_parts(name: str) -> tuple[str, ...]:
    """Parts of a relative path that somebody else chose.

    Raises:
        DataError: It leads elsewhere, or is no name of a file.
    """
    windows = PureWindowsPath(name)
    path = PurePosixPath(name.replace("\\", "/"))
    parts = tuple(part for part in path.parts if part != ".")
    if path.is_absolute() or windows.drive or ".." in parts or not parts:
        raise DataError(
            f"the name {shown(name)} leads out of the archive or folder",
            remedy="pack the case's folder itself, with relative names",
        )
    if any(not part.isprintable() or len(part.encode(errors="replace")) > 200 for part in parts):
        raise DataError(
            f"the name {shown(name)} has control characters or is longer than 200 bytes",
            remedy="rename the file",
        )
    return parts


def shown(name: str) -> str:
    """A foreign name as it can be printed: its end, and nothing that is not text."""
    text = "".join(letter if letter.isprintable() else "?" for letter in name)
    return f"“{text if len(text) <= 60 else '…' + text[-59:]}”"


def _check(members: list[ZipInfo], most_bytes: int) -> None:
    if len(members) > MOST_FILES:
        raise DataError(
            f"the archive holds {len(members)} files; {MOST_FILES} are allowed",
            remedy="pack one case",
        )
    for member in members:
        safe_parts(member.filename)
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise DataError(
                f"{shown(member.filename)} is a link or device, not a file",
                remedy="pack the files themselves",
            )
        if member.flag_bits & ENCRYPTED:
            raise DataError("the archive is encrypted", remedy="pack it without a password")
    size = sum(member.file_size for member in members)
    if size > most_bytes:
        raise _too_much(size, most_bytes)


def _is_wanted(name: str) -> bool:
    parts = safe_parts(name)
    if any(part.startswith(IGNORED) for part in parts):
        return False
    return stem(parts[-1]) is not None or parts[-1].lower().endswith(WANTED)


def _write(opened: ZipFile, members: list[ZipInfo], folder: Path, most_bytes: int) -> list[Path]:
    paths: list[Path] = []
    left = most_bytes
    for member in members:
        path = folder.joinpath(*safe_parts(member.filename))
        if path in paths:
            raise DataError(
                f"the archive holds {shown(member.filename)} twice", remedy="pack it anew"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        with opened.open(member) as source, path.open("wb") as target:
            while chunk := source.read(CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise _too_much(most_bytes - left, most_bytes)
                target.write(chunk)
        paths.append(path)
    return paths


def _too_much(size: int, most_bytes: int) -> DataError:
    return DataError(
        f"the archive unfolds to {size / 1e6:,.0f} MB or more; {most_bytes / 1e6:,.0f} MB are "
        "allowed",
        remedy="pack one case; the app's setting upload_mb allows more",
    )
