"""Tables of cases: what they may hold and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lightning_brats.data.table import index_table
from lightning_brats.errors import ConfigError, DataError

CODES = {1: 1, 2: 2, 3: 1, 4: 3}
CHANNELS = ["T1c", "Flair"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files for two cases; their content is not looked at."""
    for case in ("a", "b"):
        (tmp_path / case).mkdir()
        for name in ("t1c", "flair", "mask", "brain"):
            (tmp_path / case / f"{name}.nii.gz").touch()
    return tmp_path


def record(folder: str, /, **changes: object) -> dict[str, object]:
    """One row, with paths relative to the table."""
    files = {"T1c": "t1c", "Flair": "flair", "mask": "mask"}
    row: dict[str, object] = {k: f"{folder}/{name}.nii.gz" for k, name in files.items()}
    return {"case": folder, **row, **changes}


def write_csv(folder: Path, rows: list[dict[str, object]], start: str = "") -> Path:
    """`start` goes before the header, e.g. the mark that spreadsheets write."""
    lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
    path = folder / "cases.csv"
    path.write_text(start + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_csv(folder: Path) -> None:
    rows = [
        record("b", patient="p2", brain="b/brain.nii.gz", cohort="site 1", grade="HGG", age=61),
        record("a", patient="p1", brain="", cohort="", grade="", age=40),
    ]
    first, second = index_table(write_csv(folder, rows, "\ufeff"), CODES, CHANNELS)
    assert (first.case, first.patient, first.cohort, first.grade) == ("a", "p1", "", None)
    assert (second.case, second.patient, second.cohort, second.grade) == (
        "b",
        "p2",
        "site 1",
        "HGG",
    )
    assert list(second.images) == CHANNELS
    assert second.images["Flair"].path == folder / "b" / "flair.nii.gz"
    assert second.mask == folder / "b" / "mask.nii.gz"
    assert (first.brain, second.brain) == (None, folder / "b" / "brain.nii.gz")
    assert dict(second.scheme.codes) == {0: 0, **CODES}
    assert second.scheme.regions == ("WT", "TC", "ET")


def test_json_absolute_paths_and_patients_from_names(folder: Path) -> None:
    absolute = str(folder / "a" / "t1c.nii.gz")
    names = ("BraTS-GLI-00005-100", "BraTS-GLI-00005-101")
    rows = [record("a", case=names[0], T1c=absolute), record("b", case=names[1])]
    (folder / "lists").mkdir()
    path = folder / "lists" / "cases.json"
    for row in rows:
        row.update({k: f"../{row[k]}" for k in (*CHANNELS, "mask") if row[k] != absolute})
    path.write_text(json.dumps(rows))
    cases = index_table(path, CODES, CHANNELS, regions=["ET"])
    assert [case.patient for case in cases] == ["BraTS-GLI-00005"] * 2
    assert cases[0].images["T1c"].path == Path(absolute)
    assert cases[1].images["T1c"].path.samefile(folder / "b" / "t1c.nii.gz")
    assert cases[0].scheme.regions == ("ET",)


def test_masks_may_be_left_out_where_they_are_not_required(folder: Path) -> None:
    rows = [record("a", mask=""), record("b")]
    path = write_csv(folder, rows)
    masks = [case.mask for case in index_table(path, CODES, CHANNELS, require_masks=False)]
    assert masks == [None, folder / "b" / "mask.nii.gz"]
    with pytest.raises(DataError, match=r"Case a: row 2 of cases\.csv: column 'mask' is empty"):
        index_table(path, CODES, CHANNELS)
    with pytest.raises(ConfigError, match=r"Case b: .*coding is not given[\s\S]*data.labels"):
        index_table(path, None, CHANNELS, require_masks=False)
    without = write_csv(folder, [{k: v for k, v in record("a").items() if k != "mask"}])
    assert index_table(without, None, CHANNELS, require_masks=False)[0].mask is None


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [record("a"), record("b", Flair="")],
            "Case b: row 3 of cases.csv: column 'Flair' is empty",
        ),
        ([record("a", case="")], "row 2 of cases.csv: column 'case' is empty"),
        ([record("a", patient="")], "column 'patient' is empty"),
        (
            [{"case": "a", "t1ce": "a/t1c.nii.gz"}],
            "column 'T1c' is missing; the columns are case, t1ce",
        ),
        ([record("a", T1c="a/gone.nii.gz")], "the file of column 'T1c' does not exist"),
        ([record("a", brain="a/gone.nii.gz")], "the file of column 'brain' does not exist"),
        ([record("a"), record("b", case="a")], "Case a: two cases have this identifier"),
    ],
)
def test_rows_that_cannot_be_used(folder: Path, rows, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        index_table(write_csv(folder, rows), CODES, CHANNELS)
    assert caught.value.file
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cases.json", b'{"case": "a"}', "not a list of records"),
        ("cases.json", b"[", "not valid JSON"),
        ("cases.json", b"[]", "no rows"),
        ("cases.csv", b"case,T1c,Flair,mask\n", "no rows"),
        ("cases.csv", b"case,T1c\n\xff\xfe\x00,a\n", "unreadable table"),
    ],
)
def test_files_that_are_no_tables(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        index_table(tmp_path / name, CODES, CHANNELS)
    with pytest.raises(DataError, match="table not found"):
        index_table(tmp_path / "gone.csv", CODES, CHANNELS)


def test_settings_that_cannot_work(folder: Path) -> None:
    path = write_csv(folder, [record("a")])
    with pytest.raises(ConfigError, match="no modality is named"):
        index_table(path, CODES, [])
    with pytest.raises(ConfigError, match=r"internal labels are 0 to 4"):
        index_table(path, {1: 9}, CHANNELS)
    with pytest.raises(ConfigError, match="unknown regions"):
        index_table(path, CODES, CHANNELS, regions=["edema"])
