"""Bad cases at every stage: an error by default, left out and listed where that is asked for."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from conftest import write_case

from lightning_brats.data.exclusion import BadCases, describe, restore
from lightning_brats.data.index import index_dataset
from lightning_brats.data.sources import load_cases, load_table
from lightning_brats.errors import ConfigError, DataError, LabelError

CODES = {1: 1, 2: 2, 4: 3}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two good cases; one without its mask, one without a modality, one with two, one empty."""
    root = tmp_path / "data"
    for number in range(5):
        write_case(root, f"BraTS2021_{number:05d}", seed=number)
    (root / "BraTS2021_00001" / "BraTS2021_00001_seg.nii.gz").unlink()
    (root / "BraTS2021_00002" / "BraTS2021_00002_t2f.nii.gz").unlink()
    (root / "BraTS2021_00003" / "BraTS2021_00003_flair.nii").touch()
    (root / "BraTS2021_00009").mkdir()
    return root


def test_each_is_left_out_with_its_reason(root: Path) -> None:
    source = load_cases(root, on_bad_case="skip")
    assert [case.case[-1] for case in source.cases] == ["0", "4"]
    problems = {str(error.case)[-1]: error.problem for error in source.excluded}
    assert set(problems) == {"1", "2", "3", "9"}
    assert problems["1"] == "no mask found"
    assert "modality t2f is missing" in problems["2"]
    assert "two files for t2f" in problems["3"]
    assert "no modality" in problems["9"]
    assert all(error.file and error.remedy for error in source.excluded)


def test_by_default_the_first_is_an_error_that_names_the_way_out(root: Path) -> None:
    with pytest.raises(DataError, match=r"Case BraTS2021_0000\d: .*[\s\S]*data.on_bad_case=skip"):
        load_cases(root)
    with pytest.raises(DataError) as error:
        index_dataset(root)  # who has no such setting is not sent to it
    assert "on_bad_case" not in str(error.value)


def test_nothing_left_is_an_error(tmp_path: Path) -> None:
    write_case(tmp_path, "BraTS2021_00000")
    (tmp_path / "BraTS2021_00000" / "BraTS2021_00000_seg.nii.gz").unlink()
    with pytest.raises(DataError, match="none of 1 cases can be used; the first one: no mask"):
        load_cases(tmp_path, on_bad_case="skip")


def test_rows_of_a_table(tmp_path: Path) -> None:
    cases = [write_case(tmp_path, f"c{i}", seed=i) for i in range(3)]
    rows = [[c.case, c.images["t1c"].path, c.mask] for c in cases]
    rows[1][2] = ""
    rows.append(["c3", "gone.nii.gz", cases[0].mask])
    rows.append(["c0", *rows[2][1:]])
    with (tmp_path / "t.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["case", "t1c", "mask"], *rows])
    with pytest.raises(DataError, match="row 3"):
        load_table(tmp_path / "t.csv", CODES, ["t1c"])
    source = load_table(tmp_path / "t.csv", CODES, ["t1c"], on_bad_case="skip")
    assert [case.case for case in source.cases] == ["c0", "c2"]
    assert [error.case for error in source.excluded] == ["c1", "c3", "c0"]
    assert "column 'mask' is empty" in source.excluded[0].problem
    assert "two cases have this identifier" in source.excluded[2].problem


def test_an_unknown_policy_is_refused(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.on_bad_case=ignore"):
        load_cases(root, on_bad_case="ignore")


def test_advice_keeps_the_kind_of_error() -> None:
    bad = BadCases("error", "data.on_bad_case")
    with pytest.raises(LabelError, match="skip"):
        bad.add(LabelError("value 9", case="x"))
    with pytest.raises(DataError) as error:
        bad.add(DataError("the disk is full"))  # no case's fault
    assert "skip" not in str(error.value)


def test_they_are_kept_as_plain_types() -> None:
    errors = [DataError("bad", case="x", file=Path("/a"), remedy="mend"), DataError("odd")]
    plain = describe(errors)
    assert plain[0] == {"case": "x", "problem": "bad", "file": "/a", "remedy": "mend"}
    assert [str(error) for error in restore(plain)] == [str(error) for error in errors]
