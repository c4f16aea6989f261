"""The catalogue of a prepared data set, mapped into memory and read row by row.

A row a case: who it is, where its files and its prepared entry are, and what splits, reports and
audits want to know of it. The file is an Arrow table (`pandas.read_feather` reads it). Opening it
costs milliseconds and holding it next to nothing, in however many processes.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa

from lightning_brats.data.case import Case, ImageRef
from lightning_brats.data.catalogue import files
from lightning_brats.data.catalogue.rows import (
    CASE,
    KEY,
    SCHEMA,
    Description,
    Facts,
    to_case,
    to_table,
)
from lightning_brats.data.catalogue.trust import first_change, first_problem
from lightning_brats.data.duplicates import Twin, find_duplicates
from lightning_brats.data.entry import CachedCase
from lightning_brats.data.exclusion import restore
from lightning_brats.errors import DataError
from lightning_brats.labels import LabelScheme


class Catalogue(Sequence[Case]):
    """The prepared cases of a data set, sorted by identifier; made one by one when asked for.

    Args:
        table: A row a case.
        cache: Folder of the entries.
        path: The file, where it is one.
        rows: The rows that are meant, in order; all by default.
    """

    def __init__(
        self,
        table: pa.Table,
        cache: Path,
        path: Path | None = None,
        rows: np.ndarray | None = None,
    ) -> None:
        self.table, self.cache, self.path, self.rows = table, Path(cache), path, rows
        self._columns = {name: _whole(table.column(name)) for name in table.column_names}
        self.known: dict[str, Any] = json.loads(table.schema.metadata[KEY])
        self.modalities = tuple(self.known["modalities"])
        self.schemes = tuple(
            LabelScheme(s["name"], {int(v): k for v, k in s["codes"].items()}, tuple(s["regions"]))
            for s in self.known["schemes"]
        )
        self._roots = [str(root) for root in self.known["roots"]]
        self._origins = [tuple(patients) for patients in self.known["origins"]]

    def __reduce__(self) -> tuple:
        if self.path is not None:
            return _reopen, (self.path, self.cache, self.rows)
        return Catalogue, (self.table, self.cache, None, self.rows)

    @classmethod
    def build(
        cls, cache: Path, about: Description, cases: Sequence[Case], facts: Sequence[Facts]
    ) -> Catalogue:
        """In memory, from prepared cases; see `to_table`."""
        return cls(to_table(about, cases, facts), cache)

    @classmethod
    def open(cls, name: Path, cache: Path) -> Catalogue | None:
        """The newest catalogue saved under a name; `None` where there is none that can be read."""
        found = (cls._read(path, cache) for path in files.saved(name))
        return next((catalogue for catalogue in found if catalogue is not None), None)

    @classmethod
    def _read(cls, path: Path, cache: Path) -> Catalogue | None:
        try:
            table = files.read(path)
            return cls(table, cache, path) if table.schema.equals(SCHEMA) else None
        except (OSError, pa.ArrowException, ValueError, KeyError, TypeError):
            return None

    def save(self, name: Path) -> Catalogue:
        """Write it in one step, beside those it supersedes; the saved one, which holds no memory.

        Args:
            name: See `file_name`.

        Raises:
            OSError: The folder cannot be written to.
        """
        return Catalogue._read(files.write(self.table, name), self.cache) or self

    def __len__(self) -> int:
        return self.table.num_rows if self.rows is None else len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Case: ...
    @overload
    def __getitem__(self, index: slice) -> Catalogue: ...
    def __getitem__(self, index: int | slice) -> Case | Catalogue:
        if isinstance(index, slice):
            return self._view(self._rows()[index])
        return self._case(self._row(index))

    def __iter__(self) -> Iterator[Case]:
        return (self._case(int(row)) for row in self._rows())

    @property
    def excluded(self) -> tuple[DataError, ...]:
        """Cases left out, and why."""
        return restore(self.known["excluded"])

    @property
    def names(self) -> list[str]:
        """Identifiers, in order."""
        return self._take("case").to_pylist()

    @property
    def entries(self) -> Sequence[CachedCase]:
        """The prepared cases, in the same order."""
        return Entries(self)

    @property
    def shapes(self) -> np.ndarray:
        """(N, 3) size of each prepared volume."""
        return self._numbers("shape")

    def volumes(self) -> dict[str, float]:
        """Case → ml of everything labelled, for the cases that have a mask.

        Neither a crop nor another voxel size changes them, see `tumour_ml`.
        """
        measured = zip(self.names, self._take("tumour_ml").to_pylist(), strict=True)
        return {name: ml for name, ml in measured if ml is not None}

    def fingerprints(self) -> dict[str, Mapping[str, str]]:
        """Case → modality → perceptual fingerprint, where there is one."""
        stored = zip(self.names, self._take("fingerprint").to_pylist(), strict=True)
        return {name: json.loads(text) for name, text in stored if text}

    @property
    def twins(self) -> list[Twin]:
        """Near-identical cases, where they were looked for."""
        return [Twin(*twin) for twin in self.known.get("twins", ())]

    def with_twins(self) -> Catalogue:
        """The same catalogue, in memory, with its near-identical cases found."""
        stored = self.fingerprints()
        patients = dict(zip(self.names, self._take("patient").to_pylist(), strict=True))
        twins = find_duplicates(list(stored), [patients[n] for n in stored], list(stored.values()))
        known = {KEY: json.dumps({**self.known, "twins": twins})}
        return Catalogue(self.table.replace_schema_metadata(known), self.cache, None, self.rows)

    def outline(self) -> list[Case]:
        """The cases without their files: what a split needs, in a tenth of the memory."""
        none: dict[str, ImageRef] = {}
        columns = ("case", "patient", "scheme", "cohort", "grade", "synthetic", "origins")
        values = zip(*(self._take(name).to_pylist() for name in columns), strict=True)
        origins = self._origins
        return [
            Case(
                case,
                patient,
                none,
                self.schemes[scheme],
                cohort=cohort,
                grade=grade,
                synthetic=synthetic,
                origins=origins[made_from],
            )
            for case, patient, scheme, cohort, grade, synthetic, made_from in values
        ]

    def select(self, names: Sequence[str]) -> Catalogue:
        """The cases of these identifiers, in this order.

        Raises:
            KeyError: One of them is not in the catalogue.
        """
        place = dict(zip(self.names, self._rows().tolist(), strict=True))
        return self._view(np.array([place[name] for name in names], np.int64))

    def find(self, case: Case) -> int | None:
        """Row of just this case, files and all; `None` where it is not in the catalogue."""
        if tuple(case.images) != self.modalities:  # equal cases may have them in another order
            return None
        column = self._columns["case"]
        rows = range(self.table.num_rows)
        row = bisect_left(rows, case.case, key=lambda row: column[row].as_py())
        return row if row < len(rows) and self._case(row) == case else None

    def file_shape(self, row: int) -> list[int]:
        """(X, Y, Z) of a row's volume in its files."""
        return self._columns["file_shape"][row].as_py()

    def entry(self, row: int) -> CachedCase:
        """The prepared case of a row."""
        return CachedCase(self.cache / self._columns["entry"][row].as_py())

    def stale(self) -> str | None:
        """Why the catalogue is not to be trusted; `None` where it is. See `trust`."""
        changed = first_change(self.known["watched"])
        return changed or first_problem(self._rows().tolist(), self._stale)

    def _stale(self, row: int) -> str | None:
        sizes, times = (self._columns[name][row].as_py() for name in ("sizes", "times"))
        paths = self._case(row).files
        changed = first_change(list(zip(paths, sizes, times, strict=True)))
        if changed or self.entry(row).is_intact():
            return changed
        return f"the prepared case {self._columns['case'][row]} is missing or damaged"

    def _case(self, row: int) -> Case:
        value = {name: self._columns[name][row].as_py() for name in CASE}
        return to_case(value, self.modalities, self.schemes, self._roots, self._origins)

    def _rows(self) -> np.ndarray:
        return np.arange(self.table.num_rows) if self.rows is None else self.rows

    def _row(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return index % len(self) if self.rows is None else int(self.rows[index])

    def _take(self, name: str) -> pa.Array:
        column = self._columns[name]
        return column if self.rows is None else column.take(pa.array(self.rows))

    def _numbers(self, name: str) -> np.ndarray:
        return self._take(name).flatten().to_numpy().reshape(-1, 3)

    def _view(self, rows: np.ndarray) -> Catalogue:
        return Catalogue(self.table, self.cache, self.path, rows)


class Entries(Sequence[CachedCase]):
    """The prepared cases of a catalogue, made one by one when asked for.

    Args:
        catalogue: Whose cases.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue

    def __len__(self) -> int:
        return len(self.catalogue)

    @overload
    def __getitem__(self, index: int) -> CachedCase: ...
    @overload
    def __getitem__(self, index: slice) -> Entries: ...
    def __getitem__(self, index: int | slice) -> CachedCase | Entries:
        if isinstance(index, slice):
            return Entries(self.catalogue[index])
        return self.catalogue.entry(self.catalogue._row(index))


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """One array; as it lies in the file where it is in one piece."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _reopen(path: Path, cache: Path, rows: np.ndarray | None) -> Catalogue:
    whole = Catalogue._read(path, cache)
    if whole is None:
        remedy = "run the command again; it indexes the data anew"
        raise DataError("the catalogue of the prepared cases is gone", file=path, remedy=remedy)
    return whole if rows is None else whole._view(rows)
