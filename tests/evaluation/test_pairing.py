"""Which file is which case's, whatever the habits of naming."""

from pathlib import Path

import pytest

from lightning_brats.data.case import Case
from lightning_brats.errors import DataError
from lightning_brats.evaluation import pair_files
from lightning_brats.labels import SCHEMES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "predictions"
    path.mkdir()
    return path


def named(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).touch()


def stub(*names: str) -> list[Case]:
    return [Case(name, name, {}, SCHEMES["brats2023"]) for name in names]


@pytest.mark.parametrize(
    "name",
    [
        "BraTS-GLI-00005-100.nii.gz",
        "BraTS-GLI-00005-100.nii",
        "BraTS-GLI-00005-100_seg.nii.gz",
        "BraTS-GLI-00005-100-seg.nii.gz",
        "brats-gli-00005-100-pred.nii.gz",
        "unet_BraTS-GLI-00005-100.nii.gz",
        "unet-BraTS-GLI-00005-100_fold0.nii.gz",
        "00005-100.nii.gz",
        "BraTS-GLI-00005-100/BraTS-GLI-00005-100-seg.nii.gz",
    ],
)
def test_habits_of_naming(folder, name) -> None:
    named(folder, name, "BraTS-GLI-00005-101.nii.gz", "._BraTS-GLI-00005-100.nii.gz")
    cases = stub("BraTS-GLI-00005-100", "BraTS-GLI-00005-101", "BraTS-GLI-00006-100")
    pairing = pair_files(folder, cases)
    assert pairing.files["BraTS-GLI-00005-100"] == folder / name
    assert pairing.missing == ["BraTS-GLI-00006-100"]
    assert pairing.extra == []


def test_images_are_no_predictions(folder) -> None:
    named(folder, *(f"case_1_{m}.nii.gz" for m in ("t1", "t1ce", "t2", "flair", "seg")))
    assert pair_files(folder, stub("case_1")).files["case_1"].name == "case_1_seg.nii.gz"


def test_a_number_is_not_the_beginning_of_another(folder) -> None:
    named(folder, "case_1.nii.gz", "case_10.nii.gz", "model_case_1_2.nii.gz")
    pairing = pair_files(folder, stub("case_1", "case_10", "case_1_2"))
    found = {case: path.name for case, path in pairing.files.items()}
    assert found == {
        "case_1": "case_1.nii.gz",
        "case_10": "case_10.nii.gz",
        "case_1_2": "model_case_1_2.nii.gz",
    }


def test_the_better_name_wins_and_the_other_is_extra(folder) -> None:
    named(folder, "case_1.nii.gz", "old_case_1.nii.gz")
    pairing = pair_files(folder, stub("case_1"))
    assert pairing.files["case_1"].name == "case_1.nii.gz"
    assert [path.name for path in pairing.extra] == ["old_case_1.nii.gz"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["case_1.nii", "case_1.nii.gz"], "two files match"),
        (["a_case_1.nii.gz", "b_case_1.nii.gz"], "two files match"),
        (["100.nii.gz"], "may belong to"),
        (["x.nii.gz", "y.nii.gz"], "no prediction matches"),
        ([], "no prediction matches"),
    ],
)
def test_ambiguous_or_foreign_names_are_refused(folder, files, message) -> None:
    named(folder, *files)
    with pytest.raises(DataError, match=message) as error:
        pair_files(folder, stub("case_1", "a-100", "b-100"))
    assert "name the predictions <case>.nii.gz" in str(error.value)


def test_a_missing_folder_is_named(tmp_path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        pair_files(tmp_path / "nowhere", stub("case_1"))
