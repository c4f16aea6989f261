"""From a folder to its cases: the layout is recognised from the folder itself."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from lightning_brats.data.case import Case
from lightning_brats.data.exclusion import BadCases
from lightning_brats.data.layouts.decathlon import Decathlon
from lightning_brats.data.layouts.files import scan
from lightning_brats.data.layouts.folders import ANY_NAMES, CaseFolders
from lightning_brats.data.synthetic import Record, mark
from lightning_brats.errors import ConfigError, DataError
from lightning_brats.labels import LabelScheme
from lightning_brats.parallel import no_collection

Reader = Decathlon | CaseFolders

READERS: tuple[type[Decathlon], type[CaseFolders]] = (Decathlon, CaseFolders)
LAYOUTS = tuple(layout for reader in READERS for layout in reader.layouts)

MAX_DEPTH = 3
"""Folders that an archive may wrap a data set in."""


def detect_layout(root: Path) -> str:
    """The layout of a data set, one of `LAYOUTS`.

    Args:
        root: The data set, a folder it is wrapped in, or a single case folder.

    Raises:
        DataError: The folder is missing, empty, or of no known layout.
    """
    return _reader(root).detect()


def index_dataset(
    root: Path,
    layout: str | None = None,
    labels: LabelScheme | None = None,
    require_masks: bool = True,
    bad: BadCases | None = None,
) -> list[Case]:
    """All cases of a data set, sorted by identifier; no volume is opened.

    Args:
        root: The data set, a folder it is wrapped in, or a single case folder.
        layout: Overrides the recognised layout.
        labels: Overrides the layout's label coding.
        require_masks: Whether a case without a mask is an error. Where it is not, unlabelled
            cases are listed too, with `mask=None`.
        bad: Takes the cases that cannot be used; by default the first one is an error.

    Raises:
        DataError: The folder cannot be used as it is.
        ConfigError: The layout is unknown.
    """
    if layout is not None and layout not in LAYOUTS:
        remedy = f"data.layout is one of {', '.join(LAYOUTS)}, or null to recognise it"
        raise ConfigError(f"the layout '{layout}' is unknown", remedy=remedy)
    with no_collection():
        return _index(Path(root), layout, labels, require_masks, bad or BadCases())


def _index(
    root: Path,
    layout: str | None,
    labels: LabelScheme | None,
    require_masks: bool,
    bad: BadCases,
) -> list[Case]:
    reader = _reader(root)
    if layout is not None and layout not in reader.layouts:
        raise DataError(
            f"the folder is laid out like {' or '.join(reader.layouts)}, not like {layout}",
            file=root,
            remedy="correct the path, or leave data.layout out",
        )
    record, found = Record.find(reader.root), layout or reader.detect()
    own = record.scheme if record is not None and found == ANY_NAMES else None
    cases = mark(reader.read(found, labels or own, require_masks, bad), record, bad)
    if require_masks:
        cases = _with_masks(cases, bad)
    return unique_cases(cases, bad)


def unique_cases(
    cases: Sequence[Case], bad: BadCases, remedy: str = "remove or rename one of them"
) -> list[Case]:
    """Cases sorted by identifier, which names files and so may occur only once.

    Args:
        cases: In any order; of two with one identifier the first one stays.
        bad: Takes the others.
        remedy: What the user can do about them.

    Raises:
        DataError: Two cases have the same identifier, and bad cases are not skipped.
    """
    seen: dict[str, Case] = {}
    for case in cases:
        if other := seen.get(case.case):
            problem = f"two cases have this identifier; the other is {other.files[0]}"
            bad.add(DataError(problem, case=case.case, file=case.files[0], remedy=remedy))
            continue
        seen[case.case] = case
    return [seen[name] for name in sorted(seen)]


def _reader(root: Path) -> Reader:
    root = Path(os.path.abspath(root.expanduser()))  # a case folder given as "." needs its name
    listing = scan(root)
    if not listing.folders and not listing.files:
        remedy = "check the path, and that the download or copy is complete"
        raise DataError("the folder is empty", file=root, remedy=remedy)
    found = _search(root, MAX_DEPTH)
    if len(found) == 1:
        return found[0]
    if found:
        places = ", ".join(str(reader.root.relative_to(root)) for reader in found[:4])
        remedy = "name one of them as data.root"
        raise DataError(f"{len(found)} data sets: {places}", file=root, remedy=remedy)
    raise DataError(
        "no known layout: looked for case folders with files such as CASE_t1ce.nii.gz or "
        "CASE-t1c.nii.gz (BraTS 2018 to 2024), and for a dataset.json (MSD, nnU-Net); found "
        f"{', '.join([*listing.folders, *listing.files][:6])}",
        file=root,
        remedy="check the path, or list the files in a table (data=table)",
    )


def _search(folder: Path, depth: int) -> list[Reader]:
    """Data sets in a folder: itself, or else what lies in its subfolders."""
    listing = scan(folder)
    for reader in READERS:
        if found := reader.find(folder, listing):
            return [found]
    if depth == 0:
        return []
    return [found for name in listing.folders for found in _search(folder / name, depth - 1)]


def _with_masks(cases: Sequence[Case], bad: BadCases) -> list[Case]:
    missing = [case for case in cases if case.mask is None]
    for case in missing:
        more = "" if bad.skips else f", nor in {len(missing) - 1} more of {len(cases)} cases"
        bad.add(
            DataError(
                f"no mask found{more}",
                case=case.case,
                file=case.files[0],
                remedy=f"add it ({case.case}_seg.nii.gz beside this image, or in labelsTr for MSD "
                "and nnU-Net) or take the case out; without masks, data can only be predicted",
            )
        )
    return [case for case in cases if case.mask is not None] if missing else list(cases)
