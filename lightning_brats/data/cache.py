"""Prepared cases on disk, memory-mapped: each case is prepared once for all runs.

An entry is a folder `<case>-<key>/` with `image.npy` (C, x, y, z) float16, `mask.npy` (x, y, z)
uint8, `foreground.npz` (voxel coordinates of each label) and `meta.json`. The key is made from the
preprocessing, the modalities, the label coding and the source files, so anything that changes makes
a new entry. Entries appear by one rename, so neither a crash nor a second process can leave or see
half of one.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lightning_brats.data.audit import check_volume
from lightning_brats.data.case import Case
from lightning_brats.data.preprocess import Geometry, Prepared, Preprocess
from lightning_brats.errors import DataError
from lightning_brats.labels import TISSUES
from lightning_brats.parallel import process_pool

VERSION = 1
FILES = ("image.npy", "mask.npy", "foreground.npz", "meta.json")
MAX_COORDINATES = 20_000
"""Foreground voxels kept a label: more than any training draws, small enough to load at once."""


def default_cache() -> Path:
    """`$LIGHTNING_BRATS_CACHE`, or a folder in the user's cache directory."""
    fallback = Path.home() / ".cache" / "lightning_brats"
    return Path(os.environ.get("LIGHTNING_BRATS_CACHE", fallback)).expanduser()


@dataclass(frozen=True)
class CachedCase:
    """One entry; arrays are opened lazily, so a hundred thousand of them cost nothing."""

    folder: Path

    @cached_property
    def meta(self) -> dict[str, Any]:
        """Case, patient, modalities, geometry, preprocessing, warnings."""
        return json.loads((self.folder / "meta.json").read_text())

    @property
    def shape(self) -> tuple[int, ...]:
        """(x, y, z)."""
        return tuple(self.meta["shape"])

    @property
    def image(self) -> np.ndarray:
        """(C, x, y, z) float16 memory map."""
        return np.load(self.folder / "image.npy", mmap_mode="r")

    @property
    def mask(self) -> np.ndarray | None:
        """(x, y, z) uint8 memory map, or `None` for an unlabelled case."""
        return np.load(self.folder / "mask.npy", mmap_mode="r") if self.meta["labelled"] else None

    @cached_property
    def foreground(self) -> dict[int, np.ndarray]:
        """Label → (N, 3) voxel coordinates, for the labels that are present."""
        with np.load(self.folder / "foreground.npz") as stored:
            return {int(label): stored[label] for label in stored.files}

    def prepared(self) -> Prepared:
        """The whole case."""
        return Prepared(self.image, self.mask, Geometry.from_dict(self.meta["geometry"]))

    def is_intact(self) -> bool:
        """Whether every file is there with the size it was written with."""
        try:
            sizes = self.meta["sizes"]
            return all((self.folder / name).stat().st_size == size for name, size in sizes.items())
        except (OSError, ValueError, KeyError):
            return False


class Cache:
    """A folder of prepared cases.

    Args:
        root: Where entries live; made when missing.
        preprocess: How cases are prepared.
    """

    def __init__(self, root: Path, preprocess: Preprocess) -> None:
        self.root, self.preprocess = Path(root), preprocess

    def key(self, case: Case) -> str:
        """Fingerprint of everything an entry depends on."""
        files = [(str(f.resolve()), f.stat().st_size, f.stat().st_mtime_ns) for f in case.files]
        channels = {m: ref.channel for m, ref in case.images.items()}
        parts = [VERSION, self.preprocess.to_dict(), channels, dict(case.scheme.codes), files]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def folder(self, case: Case) -> Path:
        """Where the case's entry is or will be."""
        return self.root / f"{case.case}-{self.key(case)}"

    def get(self, case: Case) -> CachedCase:
        """The case's entry, made when it is missing or damaged.

        Raises:
            DataError: The case cannot be used, or the entry cannot be written.
        """
        try:
            folder = self.folder(case)
        except OSError as error:
            raise DataError(f"file not found ({error})", case=case.case) from error
        entry = CachedCase(folder)
        if entry.is_intact():
            return entry
        if folder.exists():
            shutil.rmtree(folder, ignore_errors=True)
        self._write(case, folder)
        return CachedCase(folder)

    def prepare(
        self,
        cases: Sequence[Case],
        workers: int = 1,
        progress: Callable[[int, int], None] | None = None,
    ) -> dict[str, CachedCase]:
        """Every case's entry, made in parallel where missing.

        Args:
            cases: Cases to prepare.
            workers: Processes.
            progress: Called with (done, total) after each case that had to be made.

        Raises:
            DataError: Of the first case, in order, that cannot be used.
        """
        missing = [case for case in cases if not self._has(case)]
        if workers <= 1 or len(missing) <= 1:
            for done, case in enumerate(missing, 1):
                self.get(case)
                if progress:
                    progress(done, len(missing))
        else:
            with process_pool(min(workers, len(missing))) as pool:
                futures = [pool.submit(self.get, case) for case in missing]
                try:
                    for done, future in enumerate(as_completed(futures), 1):
                        future.result()
                        if progress:
                            progress(done, len(missing))
                except BaseException:
                    pool.shutdown(wait=True, cancel_futures=True)
                    raise
        return {case.case: CachedCase(self.folder(case)) for case in cases}

    def _has(self, case: Case) -> bool:
        try:
            return CachedCase(self.folder(case)).is_intact()
        except OSError:
            return False

    def _write(self, case: Case, folder: Path) -> None:
        volume = self.preprocess.read(case)
        warnings = check_volume(case, volume)
        prepared = self.preprocess(case, volume)
        partial = self.root / f".{folder.name}.{uuid.uuid4().hex[:8]}.partial"
        try:
            partial.mkdir(parents=True)
            _write_entry(partial, case, prepared, self.preprocess.to_dict(), warnings)
            try:
                partial.rename(folder)
            except OSError as error:
                # Another process was first; its entry is equal to ours.
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
        except OSError as error:
            raise _cannot_write(case, self.root, error) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _write_entry(
    folder: Path,
    case: Case,
    prepared: Prepared,
    preprocess: dict[str, Any],
    warnings: list[str],
) -> None:
    np.save(folder / "image.npy", prepared.image)
    coordinates: dict[str, np.ndarray] = {}
    if prepared.mask is not None:
        np.save(folder / "mask.npy", prepared.mask)
        coordinates = {str(k): v for k, v in foreground(prepared.mask).items()}
    np.savez(folder / "foreground.npz", **coordinates)  # type: ignore[arg-type]
    written = [name for name in FILES if (folder / name).exists()]
    meta = {
        "version": VERSION,
        "case": case.case,
        "patient": case.patient,
        "cohort": case.cohort,
        "modalities": list(case.images),
        "labelled": prepared.mask is not None,
        "shape": list(prepared.image.shape[1:]),
        "geometry": prepared.geometry.to_dict(),
        "preprocess": preprocess,
        "warnings": warnings,
        "sizes": {name: (folder / name).stat().st_size for name in written},
    }
    (folder / "meta.json").write_text(json.dumps(meta, indent=1))


def foreground(mask: np.ndarray) -> dict[int, np.ndarray]:
    """Label → (N, 3) int16 coordinates, at most `MAX_COORDINATES`, evenly taken."""
    found: dict[int, np.ndarray] = {}
    for label in range(1, len(TISSUES)):
        flat = np.flatnonzero(mask == label)
        if flat.size:
            step = -(-flat.size // MAX_COORDINATES)
            found[label] = np.stack(np.unravel_index(flat[::step], mask.shape), 1).astype(np.int16)
    return found


def _cannot_write(case: Case, root: Path, error: OSError) -> DataError:
    if error.errno == errno.ENOSPC:
        remedy = "free space, or name another folder: data.cache=/path"
        return DataError("the disk is full", case=case.case, file=root, remedy=remedy)
    remedy = "name a folder you may write to: data.cache=/path"
    return DataError(f"cannot write ({error.strerror})", case=case.case, file=root, remedy=remedy)
