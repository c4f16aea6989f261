"""When a catalogue may be trusted: cheap signs that the data set is what it was.

The folders that were listed, the data set's descriptions and the files of excluded cases must have
the times they had. Of at most `CHECKED` cases every source file must have its size and time and
every entry its files; of more cases, that many are looked at, others at every start.
"""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lightning_brats.data.case import Case
from lightning_brats.errors import DataError

CHECKED = 2_000
"""Cases of which every file is looked at before the catalogue is trusted."""
WATCHED = 64
"""Folders that hold cases are watched where there are at most this many."""
DESCRIPTIONS = ("dataset.json", "name_mapping.csv", "synthetic.json")
THREADS = 8
"""Files on a network answer late, but many at once."""


def watched(
    cases: Sequence[Case], roots: Sequence[Path], excluded: Sequence[DataError]
) -> list[list]:
    """What changes when cases are added, taken away, described anew or repaired: [path, *times]."""
    folders = {str(file.parent) for case in cases for file in case.files}
    parents = {os.path.dirname(folder) for folder in folders}
    listed = {str(root) for root in roots}
    for group in (folders, parents):
        if len(group) <= WATCHED:
            listed |= group
    described = (os.path.join(folder, name) for folder in listed for name in DESCRIPTIONS)
    listed |= {path for path in described if os.path.exists(path)}
    for error in excluded:
        if error.file is not None:
            listed |= {str(error.file), os.path.dirname(str(error.file))}
    return [[path, *times(path)] for path in sorted(listed)]


def times(path: str | Path) -> list[int | None]:
    """Size (of a file) and time in ns; twice `None` where there is nothing."""
    try:
        found = os.stat(path)
    except OSError:
        return [None, None]
    return [None if stat.S_ISDIR(found.st_mode) else found.st_size, found.st_mtime_ns]


def first_change(before: Sequence[Sequence]) -> str | None:
    """The first of `[path, *times]` that is no longer so, in words."""
    for path, *then in before:
        now = times(path)
        if now != then:
            return f"{path} {'is gone' if now[1] is None else 'has changed'}"
    return None


def first_problem(rows: Sequence[int], check: Callable[[int], str | None]) -> str | None:
    """What `check` says of the first row that it says something of; see `CHECKED`."""
    step = max(1, len(rows) // CHECKED)
    chosen = rows[random.SystemRandom().randrange(step) :: step]
    with ThreadPoolExecutor(THREADS) as pool:
        return next((problem for problem in pool.map(check, chosen) if problem), None)
