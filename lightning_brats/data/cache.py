"""Prepared cases on disk, memory-mapped: each case is prepared once for all runs.

The key in an entry's name is made from the format, the preprocessing, the modalities, the label
coding and the source files, so anything that changes makes a new entry. Entries appear and
disappear by one rename: neither a crash nor another process, on this host or another one, can leave
or see half of one, and nobody waits for a lock. Two processes that make the same entry make equal
ones, of which one stays.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from lightning_brats.data.audit import check_volume
from lightning_brats.data.case import Case
from lightning_brats.data.catalogue import Catalogue, Description, Facts
from lightning_brats.data.entry import VERSION, CachedCase, write_entry
from lightning_brats.data.exclusion import BadCases, none_left
from lightning_brats.data.filling import find_all, make_all
from lightning_brats.data.preprocess import Preprocess
from lightning_brats.data.statistics import case_statistics
from lightning_brats.data.tumour_size import tumour_ml
from lightning_brats.errors import DataError

__all__ = ["Cache", "CachedCase", "default_cache"]

PARTIAL = ".partial"
"""Ends the name of what is not an entry yet, or no longer."""


def default_cache() -> Path:
    """`$LIGHTNING_BRATS_CACHE`, or a folder in the user's cache directory."""
    fallback = Path.home() / ".cache" / "lightning_brats"
    return Path(os.environ.get("LIGHTNING_BRATS_CACHE", fallback)).expanduser()


class Cache:
    """A folder of prepared cases.

    Args:
        root: Where entries live; made when missing.
        preprocess: How cases are prepared.
        catalogue: Tells entries without a look at the source files.
    """

    NOT_PREPARED = "not prepared yet"

    def __init__(
        self, root: Path, preprocess: Preprocess, catalogue: Catalogue | None = None
    ) -> None:
        self.root, self.preprocess, self.catalogue = Path(root), preprocess, catalogue

    def key(self, case: Case) -> str:
        """Fingerprint of everything an entry depends on.

        Raises:
            DataError: A file is missing.
        """
        return self._key(case, _sources(case))

    def folder(self, case: Case) -> Path:
        """Where the case's entry is or will be.

        Raises:
            DataError: A file is missing.
        """
        row = None if self.catalogue is None else self.catalogue.find(case)
        if self.catalogue is not None and row is not None:
            return self.catalogue.entry(row).folder
        return self.root / f"{case.case}-{self.key(case)}"

    def get(self, case: Case) -> CachedCase:
        """The case's entry, made when it is missing or damaged.

        Raises:
            DataError: The case cannot be used, or the entry cannot be written.
        """
        entry = CachedCase(self.folder(case))
        intact = entry.read_of(case) is not None
        return entry if intact else CachedCase(self.root / self.obtain(case).entry)

    def file_shape(self, case: Case) -> tuple[int, int, int]:
        """(X, Y, Z) of the files of a prepared case.

        Raises:
            DataError: It is not prepared.
        """
        row = None if self.catalogue is None else self.catalogue.find(case)
        if self.catalogue is not None and row is not None:
            x, y, z = self.catalogue.file_shape(row)
        else:
            x, y, z = CachedCase(self.folder(case)).meta["geometry"]["shape"]
        return int(x), int(y), int(z)

    def prepare(
        self,
        cases: Sequence[Case],
        workers: int = 1,
        progress: Callable[[int, int], None] | None = None,
        bad: BadCases | None = None,
        about: Description | None = None,
        share: tuple[int, int] = (0, 1),
    ) -> Catalogue:
        """Every case's entry, made in parallel where missing; see also `repair`.

        Args:
            cases: Cases to prepare.
            workers: Processes.
            progress: Called with (done, total) after each case that had to be made.
            bad: Takes the cases that cannot be used; by default the first one is an error.
            about: The data set they are of, for the catalogue.
            share: Number of this process and of all that prepare the same cases; each begins at
                its own place.

        Returns:
            The prepared cases; `catalogue` from now on.

        Raises:
            DataError: A case cannot be used, or entries cannot be written.
        """
        bad = bad or BadCases()
        facts: dict[int, Facts] = dict(find_all(self, cases))
        missing = [i for i in range(len(cases)) if i not in facts]
        start = len(missing) * share[0] // share[1]
        order = missing[start:] + missing[:start]
        made = make_all(self, [cases[i] for i in order], workers, progress, bad)
        facts |= {order[place]: found for place, found in made}
        return self._catalogued(cases, facts, bad, about)

    def repair(
        self,
        cases: Sequence[Case],
        workers: int = 1,
        progress: Callable[[int, int], None] | None = None,
        bad: BadCases | None = None,
        about: Description | None = None,
    ) -> tuple[Catalogue, dict[str, str]]:
        """Check every byte of every entry, and make anew what is damaged, missing or outdated.

        Args:
            cases: As for `prepare`, like the rest.
            workers: Processes.
            progress: Called after each case.
            bad: Takes the cases that cannot be used.
            about: The data set.

        Returns:
            The prepared cases, and case → what was wrong.

        Raises:
            DataError: See `prepare`.
        """
        bad = bad or BadCases()
        done = dict(make_all(self, cases, workers, progress, bad, Cache.checked))
        problems = {cases[i].case: problem for i, (_, problem) in done.items() if problem}
        facts = {i: found for i, (found, _) in done.items()}
        return self._catalogued(cases, facts, bad, about), problems

    def find(self, case: Case) -> Facts | None:
        """What is known of the case's entry; `None` where it or a source file is missing."""
        try:
            sources = _sources(case)
        except DataError:
            return None
        folder = self.root / f"{case.case}-{self._key(case, sources)}"
        meta = CachedCase(folder).read_intact()
        if meta is None or meta["modalities"] != list(case.images):
            return None
        return Facts.of(folder.name, sources, meta)

    def obtain(self, case: Case) -> Facts:
        """Find or make the case's entry.

        Raises:
            DataError: See `get`.
        """
        sources = _sources(case)
        folder = self.root / f"{case.case}-{self._key(case, sources)}"
        meta = CachedCase(folder).read_of(case) or self._write(case, folder, sources)
        return Facts.of(folder.name, sources, meta)

    def checked(self, case: Case) -> tuple[Facts, str | None]:
        """Find, check and if need be make the case's entry: what is known, and what was wrong.

        Raises:
            DataError: See `get`.
        """
        folder = self.root / f"{case.case}-{self.key(case)}"
        problem = CachedCase(folder).problem(case) if folder.exists() else self.NOT_PREPARED
        if problem and folder.exists():
            self._discard(folder)
        return self.obtain(case), problem

    def _catalogued(
        self,
        cases: Sequence[Case],
        facts: dict[int, Facts],
        bad: BadCases,
        about: Description | None,
    ) -> Catalogue:
        usable = sorted(facts)
        if cases and not usable:
            raise none_left(bad.excluded)
        about = about or Description("prepared cases", ())
        about = about._replace(excluded=(*about.excluded, *bad.excluded))
        chosen = [cases[i] for i in usable]
        self.catalogue = Catalogue.build(self.root, about, chosen, [facts[i] for i in usable])
        return self.catalogue

    def _key(self, case: Case, sources: Sequence[tuple[int, int]]) -> str:
        files = [
            (_place(str(f.parent)), f.name, *times)
            for f, times in zip(case.files, sources, strict=True)
        ]
        channels = {m: ref.channel for m, ref in case.images.items()}
        parts = [VERSION, self.preprocess.to_dict(), channels, dict(case.scheme.codes), files]
        if any(channel is not None for channel in channels.values()):
            parts.append(list(case.images))  # elsewhere the order of the files tells theirs
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def _write(
        self, case: Case, folder: Path, sources: Sequence[tuple[int, int]]
    ) -> dict[str, Any]:
        volume = self.preprocess.read(case)
        warnings = check_volume(case, volume)
        prepared = self.preprocess(case, volume)
        known = {
            "preprocess": self.preprocess.to_dict(),
            "warnings": warnings,
            "tumour_ml": tumour_ml(case, volume),
            "statistics": case_statistics(case, volume, prepared),
            "sources": [[str(f), *times] for f, times in zip(case.files, sources, strict=True)],
        }
        partial = self._aside(folder)
        try:
            partial.mkdir(parents=True)
            meta = write_entry(partial, case, prepared, known)
            self._publish(partial, folder)
            return meta
        except OSError as error:
            raise cannot_write(self.root, error, case.case) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _publish(self, partial: Path, folder: Path) -> None:
        try:
            partial.rename(folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            if not CachedCase(folder).is_intact():  # else another process was first
                self._discard(folder)
                partial.rename(folder)

    def _discard(self, folder: Path) -> None:
        """Take an entry away in one step."""
        aside = self._aside(folder)
        try:
            folder.rename(aside)
        except FileNotFoundError:
            return  # another process was first
        except OSError as error:
            raise cannot_write(self.root, error, folder.name.rpartition("-")[0]) from error
        shutil.rmtree(aside, ignore_errors=True)

    def _aside(self, folder: Path) -> Path:
        return self.root / f".{folder.name}.{uuid.uuid4().hex[:8]}{PARTIAL}"


def cannot_write(root: Path, error: OSError, case: str | None = None) -> DataError:
    """What to tell of a cache that cannot be written to."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        what = "the disk is full" if error.errno == errno.ENOSPC else "the disk quota is used up"
        remedy = "free space, or name another folder: data.cache=/path; what is prepared stays"
        return DataError(what, case=case, file=root, remedy=remedy)
    remedy = "name a folder you may write to: data.cache=/path"
    return DataError(f"cannot write ({error.strerror})", case=case, file=root, remedy=remedy)


def _sources(case: Case) -> list[tuple[int, int]]:
    """Size in bytes and time in ns of each of the case's files."""
    found = []
    for file in case.files:
        try:
            times = file.stat()
        except OSError as error:
            remedy = "restore the file, or exclude the case"
            problem = f"file not found ({error.strerror})"
            raise DataError(problem, case=case.case, file=file, remedy=remedy) from error
        found.append((times.st_size, times.st_mtime_ns))
    return found


@lru_cache(4096)
def _place(folder: str) -> str:
    return os.path.realpath(folder)
