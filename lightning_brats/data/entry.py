"""One prepared case on disk: how it is written, opened and checked.

An entry is a folder with `image.npy` (C, x, y, z) float16, `mask.npy` (x, y, z) uint8,
`foreground.npy` (N, 3) int16 (voxel coordinates, label after label) and `meta.json`. Arrays are
memory-mapped and nothing of them is kept, so that processes which visit every one of a hundred
thousand cases do not grow.
"""

from __future__ import annotations

import io
import json
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from lightning_brats.data.case import Case
from lightning_brats.data.geometry import Geometry
from lightning_brats.data.preprocess import Prepared
from lightning_brats.errors import DataError
from lightning_brats.labels import TISSUES

VERSION = 2
"""Of the format. Entries of another one are never opened, but made anew beside them."""

META = "meta.json"
DTYPES = {"image.npy": "float16", "mask.npy": "uint8", "foreground.npy": "int16"}

MAX_COORDINATES = 20_000
"""Foreground voxels kept a label: more than any training draws."""


@dataclass(frozen=True, slots=True)
class CachedCase:
    """One entry, opened lazily; holds nothing but its place.

    Args:
        folder: Of the entry.
    """

    folder: Path

    @property
    def meta(self) -> dict[str, Any]:
        """What is known of the case: identity, geometry, preprocessing, statistics, warnings.

        Raises:
            DataError: The entry is missing or damaged.
        """
        try:
            return _read_meta(str(self.folder))
        except (OSError, ValueError) as error:
            raise self._damaged(META, error) from error

    @property
    def shape(self) -> tuple[int, ...]:
        """(x, y, z)."""
        return tuple(self.meta["shape"])

    @property
    def image(self) -> np.ndarray:
        """(C, x, y, z) float16 memory map."""
        return self._map("image.npy")

    @property
    def mask(self) -> np.ndarray | None:
        """(x, y, z) uint8 memory map, or `None` for an unlabelled case."""
        return self._map("mask.npy") if self.meta["labelled"] else None

    @property
    def foreground(self) -> dict[int, np.ndarray]:
        """Label → (N, 3) memory-mapped voxel coordinates, for the labels that are present."""
        spans = self.meta["foreground"]
        if not spans:
            return {}
        stored = self._map("foreground.npy")
        return {int(label): stored[first:last] for label, (first, last) in spans.items()}

    def prepared(self) -> Prepared:
        """The whole case."""
        return Prepared(self.image, self.mask, Geometry.from_dict(self.meta["geometry"]))

    def read_intact(self) -> dict[str, Any] | None:
        """The meta data where every file is there with the size it was written with, else `None`.

        Reads from the disk, whatever was read before.
        """
        try:
            meta = json.loads((self.folder / META).read_bytes())
            files = meta["files"].items()
            whole = all((self.folder / n).stat().st_size == file["bytes"] for n, file in files)
            return meta if whole and meta["version"] == VERSION else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def read_of(self, case: Case) -> dict[str, Any] | None:
        """`read_intact` of an entry that has the case's modalities in the case's order.

        Raises:
            DataError: It has others, or another order.
        """
        meta = self.read_intact()
        if meta is not None and meta["modalities"] != list(case.images):
            raise DataError(
                f"the prepared case has the modalities {', '.join(meta['modalities'])}, wanted "
                f"are {', '.join(case.images)}",
                case=case.case,
                file=self.folder,
                remedy="prepare it anew: python experiments/prepare.py verify=true, with the "
                "run's data and preprocess settings",
            )
        return meta

    def is_intact(self) -> bool:
        """Whether every file is there with the size it was written with."""
        return self.read_intact() is not None

    def problem(self, case: Case | None = None) -> str | None:
        """What is wrong with the entry, every byte read; `None` where nothing is.

        Args:
            case: Whose entry it is to be, where that is to be checked too.
        """
        meta = self.read_intact()
        if meta is None:
            return "files are missing or of another size"
        if case is not None and meta["modalities"] != list(case.images):
            return "the modalities are others, or in another order"
        for name, file in meta["files"].items():
            try:
                if _checksum(self.folder / name) != file["crc32"]:
                    return f"{name} has changed since it was written"
                found = np.load(self.folder / name, mmap_mode="r")
            except (OSError, ValueError) as error:
                return f"{name} is unreadable ({error})"
            if found.dtype != DTYPES[name]:
                return f"{name} holds {found.dtype}"
        return _disagreement(meta, self)

    def _map(self, name: str) -> np.ndarray:
        try:
            return np.load(self.folder / name, mmap_mode="r")
        except (OSError, ValueError) as error:
            raise self._damaged(name, error) from error

    def _damaged(self, name: str, error: Exception) -> DataError:
        return DataError(
            f"the prepared case is missing or damaged ({error})",
            case=self.folder.name.rpartition("-")[0] or None,
            file=self.folder / name,
            remedy="repair it: python experiments/prepare.py verify=true, with the run's data and "
            "preprocess settings",
        )


def write_entry(
    folder: Path, case: Case, prepared: Prepared, known: dict[str, Any]
) -> dict[str, Any]:
    """Write an entry's files into an empty folder.

    Args:
        folder: Not yet where entries are looked for.
        case: Whose identity is kept.
        prepared: Its arrays.
        known: Further meta data, plain types.

    Returns:
        The meta data.

    Raises:
        OSError: The disk is full, or the folder may not be written to.
    """
    voxels, spans = foreground(prepared.mask)
    arrays = {"image.npy": prepared.image}
    if prepared.mask is not None:
        arrays |= {"mask.npy": prepared.mask, "foreground.npy": voxels}
    meta = {
        "version": VERSION,
        "case": case.case,
        "patient": case.patient,
        "cohort": case.cohort,
        "grade": case.grade,
        "synthetic": case.synthetic,
        "modalities": list(case.images),
        "labelled": prepared.mask is not None,
        "shape": list(prepared.image.shape[1:]),
        "voxels": _count(prepared.mask),
        "foreground": spans,
        "geometry": prepared.geometry.to_dict(),
        **known,
        "files": {name: _save(folder / name, array) for name, array in arrays.items()},
    }
    (folder / META).write_text(json.dumps(meta, indent=1), encoding="utf-8")
    return meta


def foreground(mask: np.ndarray | None) -> tuple[np.ndarray, dict[str, list[int]]]:
    """Coordinates of the labelled voxels, at most `MAX_COORDINATES` a label, evenly taken.

    Args:
        mask: (x, y, z) labels, or `None`.

    Returns:
        (N, 3) int16 coordinates, and label → first and last-plus-one of its rows.
    """
    found, spans, start = [np.empty((0, 3), np.int16)], {}, 0
    if mask is not None:
        flat = np.flatnonzero(mask)
        labels = mask.reshape(-1)[flat]
        for label in range(1, len(TISSUES)):
            own = flat[labels == label]
            if own.size:
                own = own[:: -(-own.size // MAX_COORDINATES)]
                found.append(np.stack(np.unravel_index(own, mask.shape), 1).astype(np.int16))
                spans[str(label)] = [start, start + own.size]
                start += own.size
    return np.concatenate(found), spans


def _count(mask: np.ndarray | None) -> list[int] | None:
    """Voxels of each label from 1 on."""
    if mask is None:
        return None
    return np.bincount(mask.reshape(-1), minlength=len(TISSUES))[1:].tolist()


def _save(path: Path, array: np.ndarray) -> dict[str, int]:
    """Write a `.npy` file; its size and checksum.

    `numpy.save` would neither say why it stopped (a full disk has no error number there) nor give
    the checksum without reading the file again.
    """
    head = io.BytesIO()
    array = np.ascontiguousarray(array)
    np.lib.format.write_array_header_1_0(head, np.lib.format.header_data_from_array_1_0(array))
    body = array.reshape(-1).view(np.uint8).data
    with path.open("wb") as file:
        file.write(head.getvalue())
        file.write(body)
    crc32 = zlib.crc32(body, zlib.crc32(head.getvalue()))
    return {"bytes": len(head.getvalue()) + len(body), "crc32": crc32}


def _checksum(path: Path) -> int:
    crc32 = 0
    with path.open("rb") as file:
        while block := file.read(2**20):
            crc32 = zlib.crc32(block, crc32)
    return crc32


def _disagreement(meta: dict[str, Any], entry: CachedCase) -> str | None:
    """Whether the arrays are what the meta data say."""
    shape = tuple(meta["shape"])
    image = entry.image
    if image.shape != (len(meta["modalities"]), *shape):
        return f"the image has shape {image.shape}, the meta data say {shape}"
    if meta["labelled"]:
        mask = entry.mask
        if mask is None or mask.shape != shape or _count(mask) != meta["voxels"]:
            return "the mask is not the one that the meta data describe"
    return None


@lru_cache(32)
def _read_meta(folder: str) -> dict[str, Any]:
    # Content follows from the folder's name, so what is kept cannot become wrong.
    return json.loads((Path(folder) / META).read_bytes())
