"""Listing folders and reading JSON, with errors that say what to do."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from lightning_brats.errors import DataError

SUFFIXES = (".nii.gz", ".nii")
IGNORED = (".", "__MACOSX", "lost+found")
"""Beginnings of names: hidden files, what a Mac leaves in archives, what a disk's root has."""


class Listing(NamedTuple):
    """Sorted names in a folder, without the ignored ones."""

    folders: list[str]
    files: list[str]


def scan(folder: Path) -> Listing:
    """One listing, no file opened: data sets hold tens of thousands of files.

    Raises:
        DataError: The folder is missing, not a folder, or may not be read.
    """
    listing = Listing([], [])
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(IGNORED):
                    continue
                if entry.is_file():
                    listing.files.append(entry.name)
                elif entry.is_dir():
                    listing.folders.append(entry.name)
    except FileNotFoundError as error:
        remedy = "correct the path (data.root=/path), or mount the disk it is on"
        raise DataError("folder not found", file=folder, remedy=remedy) from error
    except NotADirectoryError as error:
        remedy = "give the data set's folder, or read a table with data=table"
        raise DataError("this is a file, not a folder", file=folder, remedy=remedy) from error
    except PermissionError as error:
        remedy = "ask for read permission on the folder"
        raise DataError("no permission to read", file=folder, remedy=remedy) from error
    listing.folders.sort()
    listing.files.sort()
    return listing


def stem(name: str) -> str | None:
    """File name without `.nii` or `.nii.gz`; `None` for other files."""
    lowered = name.lower()
    for suffix in SUFFIXES:
        if lowered.endswith(suffix):
            return name[: -len(suffix)]
    return None


def nifti_files(
    folder: Path, names: list[str], key: Callable[[str], str | None], case: str | None = None
) -> dict[str, Path]:
    """NIfTI files by what `key` makes of their stems; files it answers `None` for are left out.

    Raises:
        DataError: Two files have one key, so that it is unclear which is meant.
    """
    stems = ((name, stem(name)) for name in names)
    keys = ((name, None if own is None else key(own)) for name, own in stems)
    return files_by_key(folder, keys, case)


def files_by_key(
    folder: Path, keys: Iterable[tuple[str, str | None]], case: str | None = None
) -> dict[str, Path]:
    """Files of a folder from (name, key) pairs; those without a key are left out.

    Raises:
        DataError: Two files have one key, so that it is unclear which is meant.
    """
    found: dict[str, Path] = {}
    for name, own_key in keys:
        if own_key is None:
            continue
        if own_key in found:
            raise DataError(
                f"two files for {own_key}: {found[own_key].name} and {name}",
                case=case,
                file=folder,
                remedy="keep one of them; a folder holds one case, a case one file a modality",
            )
        found[own_key] = folder / name
    return found


def read_json(path: Path) -> Any:
    """Parsed content.

    Raises:
        DataError: The file is missing or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise DataError("file not found", file=path, remedy="restore the file") from error
    except ValueError as error:
        raise DataError(f"not valid JSON ({error})", file=path, remedy="correct it") from error
