"""Which file is which case's, whatever the habits of naming."""

import re
from pathlib import Path

import pytest

from lightning_brats.data.case import Case
from lightning_brats.errors import DataError
from lightning_brats.evaluation import pair_files
from lightning_brats.evaluation.pairing import MASK_ENDING, _best, _Names
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


def by_comparing(own: str, names: list[str]) -> tuple[int, list[str]]:
    """Every file with every case: the rule that looking names up has to follow."""

    def rank(name: str) -> int:
        whole = rf"(?<![a-z0-9]){re.escape(name)}(?![a-z0-9])"
        ending = rf"(?<![a-z0-9]){re.escape(bare)}$"
        rules = (
            own == name,
            bare == name,
            re.search(whole, own),
            re.search(r"\d", bare) and re.search(ending, name),
            True,
        )
        return next(number for number, rule in enumerate(rules) if rule)

    own, bare = own.lower(), MASK_ENDING.sub("", own.lower())
    ranks = {name: rank(name.lower()) for name in names}
    best = min(ranks.values())
    found = [name for name in names if ranks[name] == best < 4]
    longest = max(map(len, found), default=0)
    return best if found else 0, [name for name in found if len(name) == longest]


def test_looking_names_up_finds_what_comparing_them_finds() -> None:
    names = ["case_1", "case_10", "case_1_2", "Case_3", "a-100", "b-100", "BraTS-GLI-00005-100"]
    names += ["BraTS-GLI-00006-100", "x.y", "-odd-", "case", "seg"]
    files = [*names, *(f"{name}{end}" for name in names for end in ("_seg", "-PRED", "_fold0"))]
    files += [*(f"unet_{name}" for name in names), "00005-100", "005-100", "100", "5-100_seg"]
    files += ["case_1 case_10", "case_1_case_10", "case_11", "xcase_1", "x_y", "nothing", "_seg"]
    files += ["a--odd-b", "a-odd-b", "case_1_2_3", "my.case_3.new", "y", "gli-00006-100"]
    known = _Names(names)
    found = {file: _best(Path(f"{file}.nii.gz"), known) for file in files}
    assert found == {file: by_comparing(file, names) for file in files}
    assert {rank for rank, _ in found.values()} == {0, 1, 2, 3}


class Counted(dict):
    """Counts how often it is asked."""

    asked = 0

    def get(self, key, default=None):
        Counted.asked += 1
        return super().get(key, default)


def test_files_are_not_compared_with_every_case(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"BraTS-GLI-{number:05d}-100" for number in range(3000)]
    known = _Names(names)
    known.whole, known.endings = Counted(known.whole), Counted(known.endings)
    for pattern, lookups in (("{}", 1), ("{}_seg", 2), ("unet_{}", 17), ("{}_fold0", 17)):
        monkeypatch.setattr(Counted, "asked", 0)
        for name in names:
            assert _best(Path(f"{pattern.format(name)}.nii.gz"), known)[1] == [name]
        assert Counted.asked <= lookups * len(names)
