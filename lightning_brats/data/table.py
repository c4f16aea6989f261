"""Cases listed in a CSV or JSON table: any modalities, any names, any coding."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from lightning_brats.data.case import Case, ImageRef
from lightning_brats.data.exclusion import BadCases
from lightning_brats.data.index import unique_cases
from lightning_brats.data.layouts.files import read_json
from lightning_brats.data.layouts.names import patient_of
from lightning_brats.data.synthetic import is_marked, unrecorded
from lightning_brats.errors import ConfigError, DataError
from lightning_brats.labels import SCHEMES, LabelScheme


def index_table(
    path: Path,
    labels: Mapping[int, int] | None,
    modalities: Sequence[str],
    regions: Sequence[str] | None = None,
    require_masks: bool = True,
    bad: BadCases | None = None,
    missing_ok: bool = False,
) -> list[Case]:
    """Cases of a table, sorted by identifier.

    Columns: `case`, one named like each modality, `mask`; where wanted `patient`, `brain` (mask),
    `cohort`, `grade`. Other columns are not read. Relative paths start at the table's folder.

    Args:
        path: CSV with a header, or JSON: a list of records.
        labels: File value → internal label; may be `None` where no case has a mask.
        modalities: Columns that are channels, in order.
        regions: Regions to train and score; WT, TC and ET when not given.
        require_masks: Whether a case without a mask is an error.
        bad: Takes the rows that cannot be used; by default the first one is an error.
        missing_ok: Whether a case may do without some of the modalities.

    Raises:
        DataError: The table is unreadable, or a column, cell or file is missing.
        ConfigError: There are masks, but no coding.
    """
    path = Path(os.path.abspath(Path(path).expanduser()))  # the cases' paths start here
    records = _records(path)
    if not records:
        raise DataError("the table has no rows", file=path, remedy="list at least one case")
    if not modalities:
        remedy = "name the columns that are channels, e.g. data.modalities=[t1c,t2f]"
        raise ConfigError("no modality is named", file=path, remedy=remedy)
    scheme = _scheme(labels, regions)
    bad = bad or BadCases()
    cases = []
    for number, record in records:
        with bad.guard():
            row = _Row(path, number, record)
            there = [m for m in modalities if row.optional(m)] if missing_ok else modalities
            cases.append(_case(row, there or modalities, scheme, require_masks))
    masked = next((case for case in cases if case.mask), None)
    if labels is None and masked:
        raise ConfigError(
            "the table has masks, but their coding is not given",
            case=masked.case,
            file=masked.mask,
            remedy="give file value → internal label, e.g. data.labels={1:1,2:2,4:3}",
        )
    return unique_cases(cases, bad)


class _Row:
    """One record and where it stands.

    Args:
        path: The table.
        number: Line of a CSV file, position of a JSON record.
        record: Column → cell.
    """

    def __init__(self, path: Path, number: int, record: Mapping[str, object]) -> None:
        self.path, self.number, self.record = path, number, record

    def optional(self, column: str) -> str:
        """A cell, empty where it or its column is missing."""
        value = self.record.get(column)
        return "" if value is None else str(value).strip()

    def required(self, column: str) -> str:
        """A cell that may not be empty.

        Raises:
            DataError: It is, or there is no such column.
        """
        if value := self.optional(column):
            return value
        columns = [str(name) for name in self.record]
        state = "empty" if column in columns else f"missing; the columns are {', '.join(columns)}"
        raise self._error(f"column '{column}' is {state}", self.path, f"fill in '{column}'")

    def optional_file(self, column: str) -> Path | None:
        """The file a cell names, `None` where the cell or its column is empty or missing."""
        return self.file(column) if self.optional(column) else None

    def file(self, column: str) -> Path:
        """The file a cell names.

        Raises:
            DataError: There is none.
        """
        path = self.path.parent / Path(self.required(column)).expanduser()
        if not path.is_file():
            remedy = "correct the path, which starts at the table's folder, or restore the file"
            raise self._error(f"the file of column '{column}' does not exist", path, remedy)
        return path

    def _error(self, problem: str, file: Path, remedy: str) -> DataError:
        where = f"row {self.number} of {self.path.name}: {problem}"
        return DataError(where, case=self.optional("case") or None, file=file, remedy=remedy)


def _case(row: _Row, modalities: Sequence[str], scheme: LabelScheme, require_mask: bool) -> Case:
    name = row.required("case")
    if is_marked(name):
        raise unrecorded(name, row.path)
    images = {modality: ImageRef(row.file(modality)) for modality in modalities}
    return Case(
        case=name,
        patient=row.required("patient") if "patient" in row.record else patient_of(name),
        images=images,
        scheme=scheme,
        mask=row.file("mask") if require_mask else row.optional_file("mask"),
        brain=row.optional_file("brain"),
        cohort=row.optional("cohort"),
        grade=row.optional("grade") or None,
    )


def _scheme(labels: Mapping[int, int] | None, regions: Sequence[str] | None) -> LabelScheme:
    internal = SCHEMES["brats2024"]
    codes = internal.codes if labels is None else labels
    try:
        return LabelScheme("table", codes, tuple(regions or ("WT", "TC", "ET")))
    except ValueError as error:
        remedy = "data.labels maps file values to 0 bg, 1 NETC, 2 SNFH, 3 ET, 4 RC"
        raise ConfigError(str(error), remedy=remedy) from error


def _records(path: Path) -> list[tuple[int, Mapping[str, object]]]:
    if not path.is_file():
        raise DataError("table not found", file=path, remedy="correct the path (data.table=…)")
    if path.suffix.lower() == ".json":
        records = read_json(path)
        if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
            remedy = 'write [{"case": "a", "t1c": "a_t1c.nii.gz", "mask": "a_seg.nii.gz"}, …]'
            raise DataError("the JSON is not a list of records", file=path, remedy=remedy)
        return list(enumerate(records, 1))
    with path.open(newline="", encoding="utf-8-sig") as file:
        try:
            reader = csv.DictReader(file)
            return [(reader.line_num, row) for row in reader]
        except (csv.Error, UnicodeDecodeError) as error:
            remedy = "save it as comma-separated text in UTF-8"
            raise DataError(f"unreadable table ({error})", file=path, remedy=remedy) from error
