"""Synthetic cases are known by record and name, trained on alone, and leak nobody."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import write_case
from omegaconf import OmegaConf
from synthesis_parts import write_record

from lightning_brats.crossval.folds import _check_cases
from lightning_brats.data.cache import Cache
from lightning_brats.data.case import Case
from lightning_brats.data.datamodule import BratsDataModule
from lightning_brats.data.index import index_dataset
from lightning_brats.data.preprocess import Preprocess
from lightning_brats.data.sources import CaseSource, load_cases, load_table
from lightning_brats.data.splits import Split, check_split, make_split
from lightning_brats.errors import DataError
from lightning_brats.evaluation.references import reference_cases
from lightning_brats.labels import SCHEMES
from lightning_brats.preparation import fingerprint
from lightning_brats.splitting import check_drawable

REAL = [f"BraTS2021_{i:05d}" for i in range(8)]
SHAPE = (12, 14, 10)


@pytest.fixture
def roots(tmp_path: Path) -> tuple[Path, Path]:
    """Eight real cases, and two made of the first two, whose patients are their names."""
    real, made = tmp_path / "real", tmp_path / "made"
    for seed, name in enumerate(REAL):
        write_case(real, name, shape=SHAPE, seed=seed)
    for seed, name in enumerate(("SYNTH-ab-0000", "SYNTH-ab-0001"), 50):
        write_case(made, name, shape=SHAPE, seed=seed)
    train = make_split(load_cases(root=real).cases, validation=0.2, test=0.3).train
    first, second, *_ = train
    cases = {"SYNTH-ab-0000": (first, second), "SYNTH-ab-0001": (second, first)}
    write_record(made, cases, list(train), cohort="BraTS2021", grade=None)
    return real, made


def joined(roots: tuple[Path, Path]) -> list[Case]:
    return list(load_cases(roots=roots).cases)


def test_the_record_marks_its_cases(roots: tuple[Path, Path]) -> None:
    cases = {case.case: case for case in joined(roots)}
    assert [name for name, case in cases.items() if case.synthetic] == sorted(
        name for name in cases if name.startswith("SYNTH")
    )
    made = cases["SYNTH-ab-0000"]
    split = make_split([cases[name] for name in REAL], validation=0.2, test=0.3)
    assert made.origins == split.train
    assert made.patient == split.train[1]  # the host's
    assert made.scheme == SCHEMES["brats2018"]
    assert made.cohort == "BraTS2021"
    assert set(made.images) == {"t1n", "t1c", "t2w", "t2f"}


def test_they_change_no_draw_and_are_trained_on(roots: tuple[Path, Path]) -> None:
    cases = joined(roots)
    real = [case for case in cases if not case.synthetic]
    alone, both = (make_split(c, validation=0.2, test=0.3) for c in (real, cases))
    assert (alone.validation, alone.test) == (both.validation, both.test)
    assert set(both.train) - set(alone.train) == {"SYNTH-ab-0000", "SYNTH-ab-0001"}


def test_a_draw_that_parts_them_from_their_origins_is_refused(roots: tuple[Path, Path]) -> None:
    cases = joined(roots)
    refused = 0
    for seed in range(1, 5):
        with pytest.raises(DataError, match=r"SYNTH-ab-000\d.*made from patient|two parts"):
            make_split(cases, seed=seed, validation=0.2, test=0.3)
        refused += 1
    assert refused == 4
    message = "SYNTH-ab-000.: it is synthetic, made from patient .* validation part"
    with pytest.raises(DataError, match=f"{message}|in two parts"):
        [make_split(cases, fold=fold, folds=2, test=0.3) for fold in range(2)]


def test_whether_a_split_can_be_drawn_is_a_question_of_real_cases(roots: tuple[Path, Path]) -> None:
    """Before cases are prepared their sizes are not known, so this draw is another one."""
    source = load_cases(roots=roots)
    split = {"seed": 4, "validation": 0.2, "test": 0.3}
    cfg = OmegaConf.create({"split": split, "fold": None, "folds": 5})
    check_drawable(cfg, source)
    few = [case for case in source.cases if case.synthetic or case.case == REAL[0]]
    with pytest.raises(DataError, match="1 patients cannot fill"):
        check_drawable(cfg, CaseSource("few", few))


def test_a_given_split_may_not_score_them(roots: tuple[Path, Path]) -> None:
    cases = {case.case: case for case in joined(roots)}
    good = make_split(list(cases.values()), validation=0.2, test=0.3)
    for part in ("validation", "test"):
        moved = replace(
            good,
            train=tuple(name for name in good.train if name != "SYNTH-ab-0001"),
            **{part: (*getattr(good, part), "SYNTH-ab-0001")},
        )
        with pytest.raises(DataError, match=f"SYNTH-ab-0001: it is synthetic, but in the {part}"):
            check_split(moved, list(cases.values()))


@pytest.mark.parametrize("side", ["validation", "test"])
@pytest.mark.parametrize("role", ["donor", "teacher"])
def test_a_scored_donor_is_named(roots: tuple[Path, Path], side: str, role: str) -> None:
    """Also one that the generator merely learned from, and one whose brain is not shown."""
    cases = {case.case: case for case in joined(roots)}
    made = cases["SYNTH-ab-0000"]
    split = make_split(list(cases.values()), validation=0.2, test=0.3)
    donor = split.train[0] if role == "donor" else split.train[3]
    assert donor != made.patient
    moved = replace(
        split,
        train=tuple(n for n in split.train if n not in (donor, "SYNTH-ab-0001")),
        **{side: (*getattr(split, side), donor)},
    )
    with pytest.raises(DataError, match=f"patient {donor}, who is in the {side} part") as error:
        check_split(moved, list(cases.values()))
    assert error.value.case == made.case
    without = replace(moved, **{side: getattr(split, side)})
    with pytest.raises(DataError, match=f"patient {donor}, who is in no part"):
        check_split(without, list(cases.values()))


def test_a_split_without_them_is_free(roots: tuple[Path, Path]) -> None:
    cases = joined(roots)
    real = [case for case in cases if not case.synthetic]
    check_split(make_split(real, seed=4), cases)


def test_names_without_a_record_are_refused(roots: tuple[Path, Path]) -> None:
    real, made = roots
    (made / "SYNTH-ab-0000").rename(real / "SYNTH-ab-0000")
    with pytest.raises(DataError, match="its name says that it is synthetic") as error:
        index_dataset(real)
    assert error.value.case == "SYNTH-ab-0000"
    (made / "synthetic.json").unlink()
    with pytest.raises(DataError):
        load_cases(roots=[made])


def test_a_record_without_names_is_refused(roots: tuple[Path, Path]) -> None:
    _, made = roots
    write_record(made, {"BraTS2021_00099": ("a", "b")}, ["a", "b"])
    with pytest.raises(DataError, match="does not begin with SYNTH-"):
        index_dataset(made)
    (made / "synthetic.json").write_text("{}")
    with pytest.raises(DataError, match="not a record of synthetic cases"):
        index_dataset(made)


def test_a_record_whose_donor_was_left_out_of_its_list_is_not_believed(tmp_path: Path) -> None:
    write_case(tmp_path, "SYNTH-ab-0000", shape=SHAPE)
    write_record(tmp_path, {"SYNTH-ab-0000": ("donor", "host")}, ["host"])
    (case,) = index_dataset(tmp_path)
    assert set(case.origins) == {"donor", "host"}


def test_a_table_may_not_smuggle_them_in(tmp_path: Path) -> None:
    write_case(tmp_path, "SYNTH-ab-0000", shape=SHAPE)
    table = tmp_path / "cases.csv"
    table.write_text("case,t1c,mask\nSYNTH-ab-0000,a.nii.gz,b.nii.gz\n")
    with pytest.raises(DataError, match="its name says that it is synthetic"):
        load_table(table, {1: 1}, ["t1c"])


def test_they_are_no_references(roots: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="scores on made-up cases mean nothing") as error:
        reference_cases(roots[1])
    assert error.value.case == "SYNTH-ab-0000"
    plain = tmp_path / "masks"
    plain.mkdir()
    mask = next((roots[1] / "SYNTH-ab-0001").glob("*_seg.nii.gz"))
    mask.rename(plain / "SYNTH-ab-0001.nii.gz")
    with pytest.raises(DataError, match="scores on made-up cases"):
        reference_cases(plain)


def test_the_catalogue_keeps_mark_and_origins(roots: tuple[Path, Path], tmp_path: Path) -> None:
    cases = joined(roots)
    catalogue = Cache(tmp_path / "cache", Preprocess()).prepare(cases)
    assert list(catalogue) == sorted(cases, key=lambda case: case.case)
    outlined = {case.case: case for case in catalogue.outline()}
    for case in cases:
        again = outlined[case.case]
        assert (again.synthetic, again.origins) == (case.synthetic, case.origins)


def test_the_data_module_refuses_a_leak(roots: tuple[Path, Path]) -> None:
    cases = joined(roots)
    split = make_split([c for c in cases if not c.synthetic], seed=4, validation=0.2, test=0.3)
    leaking = replace(split, train=(*split.train, "SYNTH-ab-0000"))
    with pytest.raises(DataError, match="SYNTH-ab-0000"):
        BratsDataModule(CaseSource("both", tuple(cases)), split=leaking)


def test_they_do_not_make_another_data_set(roots: tuple[Path, Path], tmp_path: Path) -> None:
    cases = joined(roots)
    cache = Cache(tmp_path / "cache", Preprocess())
    cache.catalogue = cache.prepare(cases)
    real = [case for case in cases if not case.synthetic]
    assert fingerprint(cases, cache) == fingerprint(real, cache)
    assert fingerprint(real[1:], cache) != fingerprint(real, cache)


def test_out_of_fold_scores_do_not_miss_them() -> None:
    class Fold:
        def __init__(self, train: tuple[str, ...], validation: tuple[str, ...]) -> None:
            self.split = Split(train, validation)
            self.scores = {"case": np.array(validation)}
            self.path = "run"

    made = ("SYNTH-ab-0000", "SYNTH-ab-0001")
    folds = [Fold(("b", *made), ("a",)), Fold(("a", "SYNTH-cd-0000"), ("b",))]
    _check_cases(folds)  # type: ignore[arg-type]
    lacking = [Fold(("b", "c", *made), ("a",)), Fold(("a", "c"), ("b",))]
    with pytest.raises(Exception, match="1 cases are validated on in no run"):
        _check_cases(lacking)  # type: ignore[arg-type]
