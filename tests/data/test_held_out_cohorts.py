"""Cohorts that are tested on whole: of any data, and of phantoms with scanners of their own."""

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from lightning_brats.data.case import Case
from lightning_brats.data.duplicates import Twin
from lightning_brats.data.phantom import Scanner, default_root, of_cohorts
from lightning_brats.data.sources import CaseSource, load_cases
from lightning_brats.data.splits import make_split
from lightning_brats.errors import ConfigError, DataError
from lightning_brats.experiment import configure
from lightning_brats.labels import SCHEMES
from lightning_brats.splitting import check_drawable

TINY = {"cases": 2, "spacing": 8.0}


def make(cohort: str, number: int, patient: str = "") -> Case:
    name = f"{cohort}{number:02d}"
    return Case(name, patient or name, {}, SCHEMES["brats2023"], cohort=cohort)


def many(**sizes: int) -> list[Case]:
    return [make(cohort, i) for cohort, size in sizes.items() for i in range(size)]


def cohorts_of(names: tuple[str, ...]) -> set[str]:
    return {name[0] for name in names}


def test_a_cohort_is_tested_on_whole() -> None:
    cases = many(A=20, B=7, C=3)
    split = make_split(cases, test_cohorts=["B"])
    assert split.test == tuple(f"B{i:02d}" for i in range(7))
    assert cohorts_of(split.train + split.validation) == {"A", "C"}
    assert (len(split.train), len(split.validation)) == (21, 2)  # a tenth of the 23 that are left
    both = make_split(cases, test_cohorts=["C", "B"])
    assert (len(both.test), len(both.validation)) == (10, 2)


def test_the_share_does_not_count_then() -> None:
    cases = many(A=20, B=7)
    assert make_split(cases, test=0.9, test_cohorts=["B"]) == make_split(cases, test_cohorts=["B"])


def test_folds_are_of_the_other_cohorts() -> None:
    cases = many(A=12, B=5)
    splits = [make_split(cases, fold=fold, folds=3, test_cohorts=["B"]) for fold in range(3)]
    assert {split.test for split in splits} == {tuple(f"B{i:02d}" for i in range(5))}
    validated = [name for split in splits for name in split.validation]
    assert sorted(validated) == [f"A{i:02d}" for i in range(12)]


def test_a_patient_of_two_cohorts_is_tested_on_with_all_examinations() -> None:
    cases = [*many(A=10), make("B", 0, patient="A03"), make("B", 1)]
    split = make_split(cases, test_cohorts=["B"])
    assert split.test == ("A03", "B00", "B01")
    twins = [Twin("A05", "B01", 0.99)]
    assert make_split(cases, test_cohorts=["B"], twins=twins).test == ("A03", "A05", "B00", "B01")


def test_synthetic_cases_of_a_held_out_cohort_are_no_test_cases() -> None:
    made = [replace(make("B", 50 + i), synthetic=True) for i in range(3)]
    split = make_split([*many(A=10, B=4), *made], test_cohorts=["B"])
    assert split.test == tuple(f"B{i:02d}" for i in range(4))


def test_cohorts_that_are_not_there_are_named() -> None:
    with pytest.raises(ConfigError, match=r"no cohort D, E[\s\S]*choose from A, B"):
        make_split(many(A=9, B=9), test_cohorts=["D", "B", "E"])
    with pytest.raises(DataError, match="0 patients cannot fill the 2 parts"):
        make_split(many(A=9, B=9), test_cohorts=["A", "B"])


def test_the_setting_takes_one_name_or_several() -> None:
    source = CaseSource("made", many(home=5, away=3))
    cfg = configure()
    for given in ("away", ["away"]):
        cfg.split.test_cohorts = given
        check_drawable(cfg, source)
    cfg.split.test_cohorts = "there"
    with pytest.raises(ConfigError, match="no cohort there"):
        check_drawable(cfg, source)


def test_what_each_cohort_is_made_of() -> None:
    shared = {"layout": "msd", "cases": 5, "seed": 7, "scanner": {"bias": 2}}
    found = of_cohorts(shared, {"A": None, "B": {"cases": 2, "scanner": {"noise": 3}}})
    assert found["A"] == {**shared, "scanner": Scanner(bias=2.0)}
    assert found["B"] == {**shared, "cases": 2, "seed": 8, "scanner": Scanner(noise=3.0, bias=2.0)}


@pytest.mark.parametrize(
    ("cohorts", "said"),
    [
        ({}, "names no cohorts"),
        (["A", "B"], "names no cohorts"),
        ({"A": {}, "B": {"seed": 0}}, "A and B have the same seed"),
        ({"A": {"scanner": {"nose": 1}}}, "nose"),
    ],
)
def test_cohorts_that_cannot_be(cohorts: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        of_cohorts({"cases": 2}, cohorts)  # type: ignore[arg-type]


def test_cohorts_have_patients_and_scanners_of_their_own() -> None:
    noisy = {"cases": 1, "scanner": {"noise": 20}}
    source = load_cases(phantom={**TINY, "cohorts": {"A": {}, "B": noisy}})
    assert [(case.case, case.cohort) for case in source.cases] == [
        *((f"A_BraTS2021_{i:05d}", "A") for i in range(2)),
        ("B_BraTS2021_00000", "B"),
    ]
    assert len({case.patient for case in source.cases}) == 3
    assert source.phantom
    assert source.name == "phantom (brats2021, 8 mm; cohorts A, B)"
    images = [np.asarray(nib.load(c.images["t1n"].path).dataobj) for c in source.cases]
    assert not np.array_equal(images[0], images[2])
    assert speckle(images[2]) > 2 * speckle(images[0])


def speckle(image: np.ndarray) -> float:
    """How much neighbours deep in the brain differ, relative to their mean."""
    middle = tuple(slice(n // 2 - 3, n // 2 + 3) for n in image.shape)
    values = image[middle].astype(float)
    return float(np.abs(np.diff(values, axis=0)).mean() / values.mean())


def test_the_standard_scanner_in_the_configuration_is_that_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIGHTNING_BRATS_CACHE", str(tmp_path))
    settings = dict(configure().data.phantom)
    assert settings.pop("cohorts") is None
    assert default_root(**settings) == default_root()
