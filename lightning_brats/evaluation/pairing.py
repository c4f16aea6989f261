"""Which predicted file belongs to which case, whatever its writer's habits of naming."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning_brats.data.case import Case
from lightning_brats.data.layouts.files import IGNORED, scan, stem
from lightning_brats.data.layouts.names import file_role
from lightning_brats.errors import DataError

MASK_ENDING = re.compile(r"[_-](seg|segm|segmentation|pred|prediction|mask|label)$", re.IGNORECASE)
SOFT = re.compile(r"[_-](probabilities|entropy|mutual_information)$", re.IGNORECASE)
"""Endings of what the prediction command writes beside a mask."""
ALPHANUMERIC = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
SHOWN = 3
"""Names listed in a message."""


@dataclass(frozen=True)
class Pairing:
    """Predicted files of a set of cases.

    Args:
        files: Case identifier → its file, `None` where there is none.
        extra: Files that belong to no case.
    """

    files: dict[str, Path | None]
    extra: list[Path]

    @property
    def missing(self) -> list[str]:
        """Cases without a prediction."""
        return [case for case, path in self.files.items() if path is None]


def pair_files(folder: Path, cases: Sequence[Case]) -> Pairing:
    """Find each case's prediction: `CASE.nii.gz`, `CASE_seg.nii`, `model-CASE.nii.gz`, `ID.nii.gz`.

    A file goes to the case it names best: exactly, but for an ending such as `_seg`, with
    something before or after, or by the last part of the identifier (`00005-100` for
    `BraTS-GLI-00005-100`).

    Raises:
        DataError: The folder cannot be read, nothing in it matches, or a match is ambiguous.
    """
    names = [case.case for case in cases]
    files: dict[str, Path | None] = dict.fromkeys(names)
    known = _Names(list(files))
    ranks: dict[str, int] = {}
    extra = []
    for path in _masks(folder):
        rank, found = _best(path, known)
        if not found:
            extra.append(path)
            continue
        if len(found) > 1:
            raise _ambiguous(f"it may belong to {_some(found)}", None, path)
        (name,) = found
        other = files[name]
        if other is not None and rank == ranks[name]:
            raise _ambiguous(f"two files match: {other.name} and {path.name}", name, folder)
        if other is not None:
            extra.append(path if rank > ranks[name] else other)
        if other is None or rank < ranks[name]:
            files[name], ranks[name] = path, rank
    if cases and not ranks:
        raise DataError(
            f"no prediction matches a case; cases are {_some(names)}, files "
            f"{_some([path.name for path in extra]) or 'none'}",
            file=folder,
            remedy="name the predictions <case>.nii.gz",
        )
    return Pairing(files, extra)


def _masks(folder: Path) -> list[Path]:
    """NIfTI files of a folder and of the folders in it, images and soft maps left out."""
    scan(folder)  # says what is wrong with the folder
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [
        path
        for path in paths
        if (name := stem(path.name)) is not None
        and file_role(name) in (None, "mask")
        and not SOFT.search(name)
        and not any(part.startswith(IGNORED) for part in path.relative_to(folder).parts)
    ]


class _Names:
    """Cases by all that a file may call them, so that none is compared with every file.

    Args:
        names: Identifiers, each once.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.whole: dict[str, list[int]] = {}
        self.endings: dict[str, list[int]] = {}
        for number, name in enumerate(names):
            lower = name.lower()
            self.whole.setdefault(lower, []).append(number)
            for start in _starts(lower):
                self.endings.setdefault(lower[start:], []).append(number)

    def called(self, text: str) -> list[int]:
        """Numbers of the cases of just this name."""
        return self.whole.get(text, [])

    def within(self, text: str) -> list[int]:
        """Numbers of the cases whose name stands in a text, with no letter or digit beside it."""
        ends = [end for end in range(len(text) + 1) if end == len(text) or not _joins(text[end])]
        parts = {text[start:end] for start in _starts(text) for end in ends if end > start}
        return sorted(number for part in parts for number in self.called(part))

    def ending(self, text: str) -> list[int]:
        """Numbers of the cases whose name ends with a text that has a digit."""
        return self.endings.get(text, []) if re.search(r"\d", text) else []


def _best(path: Path, known: _Names) -> tuple[int, list[str]]:
    """How well a file names its case (0 is exactly), and the cases it names that well."""
    own = (stem(path.name) or "").lower()
    bare = MASK_ENDING.sub("", own)
    ways = (known.called, own), (known.called, bare), (known.within, own), (known.ending, bare)
    for rank, (look, text) in enumerate(ways):
        if found := [known.names[number] for number in look(text)]:
            # `model_case_1_2` names `case_1_2` rather than `case_1`.
            longest = max(map(len, found))
            return rank, [name for name in found if len(name) == longest]
    return 0, []


def _starts(text: str) -> list[int]:
    """Where a name may begin: after anything but a letter or digit."""
    return [start for start in range(len(text)) if start == 0 or not _joins(text[start - 1])]


def _joins(character: str) -> bool:
    return character in ALPHANUMERIC


def _ambiguous(problem: str, case: str | None, file: Path) -> DataError:
    return DataError(
        f"ambiguous prediction, {problem}",
        case=case,
        file=file,
        remedy="name the predictions <case>.nii.gz, one file a case",
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
