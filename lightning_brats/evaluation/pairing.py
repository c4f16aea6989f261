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
    ranks: dict[str, int] = {}
    extra = []
    for path in _masks(folder):
        rank, found = _best(path, names)
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


def _best(path: Path, names: Sequence[str]) -> tuple[int, list[str]]:
    """How well a file names its case (0 is exactly), and the cases it names that well."""
    own = (stem(path.name) or "").lower()
    bare = MASK_ENDING.sub("", own)
    ranks = {name: _rank(name.lower(), own, bare) for name in names}
    best = min((rank for rank in ranks.values() if rank is not None), default=0)
    found = [name for name, rank in ranks.items() if rank == best]
    # `model_case_1_2` names `case_1_2` rather than `case_1`.
    longest = max(map(len, found), default=0)
    return best, [name for name in found if len(name) == longest]


def _rank(name: str, own: str, bare: str) -> int | None:
    if own == name:
        return 0
    if bare == name:
        return 1
    if re.search(rf"(?<![a-z0-9]){re.escape(name)}(?![a-z0-9])", own):
        return 2
    if re.search(r"\d", bare) and re.search(rf"(?<![a-z0-9]){re.escape(bare)}$", name):
        return 3
    return None


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
