"""Splits: what may never leak, and how evenly patients are drawn."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_brats.data.case import Case
from lightning_brats.data.duplicates import Twin
from lightning_brats.data.splits import PARTS, Split, check_split, make_split
from lightning_brats.errors import ConfigError, DataError
from lightning_brats.labels import SCHEMES


def make(name: str, patient: str = "", cohort: str = "", grade: str | None = None) -> Case:
    return Case(name, patient or name, {}, SCHEMES["brats2023"], cohort=cohort, grade=grade)


def many(count: int, **strata) -> list[Case]:
    start = "-".join(map(str, strata.values()))
    return [make(f"{start}{i:04d}", **strata) for i in range(count)]


def parts(split: Split) -> list[set[str]]:
    return [set(getattr(split, part)) for part in PARTS]


def test_shares_and_determinism() -> None:
    cases = many(100)
    split = make_split(cases, seed=3)
    assert [len(part) for part in parts(split)] == [70, 10, 20]
    assert set().union(*parts(split)) == {case.case for case in cases}
    shuffled = random.Random(0).sample(cases, 100)
    assert make_split(shuffled, seed=3) == split
    assert make_split(cases, seed=4) != split


def test_order_does_not_matter_where_a_patient_changes_grade() -> None:
    cases = [make(f"p{p}-{t}", f"p{p}", grade=("LGG", "HGG")[t]) for p in range(20) for t in (0, 1)]
    cases += [make(f"q{q}", grade="HGG") for q in range(20)]
    assert make_split(cases[::-1], seed=5) == make_split(cases, seed=5)


def test_a_seed_gives_this_split_on_every_machine() -> None:
    """Worked out with `sha256sum`: a release that draws otherwise would train on test cases.

    Ordered by the digest of `0:0000` to `0:0009`, the patients are 2 4 1 5 0 7 3 6 9 8, and
    `0:start` gives 0.6746. Test: positions ⌊0.6746 · 5⌋ = 3 and 3 + 5, which are 5 and 9.
    Validation: position ⌊0.6746 · 8⌋ = 5 of the other eight, 2 4 1 0 7 3 6 8.
    """
    split = make_split(many(10), seed=0)
    assert (split.validation, split.test) == (("0003",), ("0005", "0009"))


def test_time_points_of_a_patient_stay_together() -> None:
    cases = [make(f"p{p}-{t}", f"p{p}") for p in range(40) for t in range(1 + p % 6)]
    split = make_split(cases)
    patients = [{name.split("-")[0] for name in part} for part in parts(split)]
    assert sum(len(part) for part in patients) == len(set().union(*patients)) == 40
    assert [len(part) for part in patients] == [28, 4, 8]


def test_every_part_has_its_share_of_cohorts_and_grades() -> None:
    cases = many(100, cohort="A", grade="HGG") + many(50, cohort="A", grade="LGG")
    cases += many(50, cohort="B")
    of = {case.case: (case.cohort, case.grade) for case in cases}
    for seed in range(5):
        split = make_split(cases, seed)
        for part, share in zip(PARTS, (0.7, 0.1, 0.2), strict=True):
            counts = Counter(of[name] for name in getattr(split, part))
            for stratum, size in ((("A", "HGG"), 100), (("A", "LGG"), 50), (("B", None), 50)):
                assert abs(counts[stratum] - share * size) <= 2


def test_tumour_size_is_balanced() -> None:
    cases = many(90)
    sizes = {case.case: float(i) for i, case in enumerate(cases)}
    split = make_split(cases, sizes=sizes)
    thirds = Counter(int(sizes[name] // 30) for name in split.test)
    assert sum(thirds.values()) == 18
    assert all(5 <= count <= 7 for count in thirds.values())
    with pytest.raises(DataError, match="tumour size is not given"):
        make_split([*cases, make("new")], sizes=sizes)


def test_folds_cover_all_that_is_not_tested_on_once() -> None:
    cases = many(30, cohort="A") + many(23, cohort="B")
    splits = [make_split(cases, seed=1, fold=fold, folds=5) for fold in range(5)]
    assert len({split.test for split in splits}) == 1
    validated = [name for split in splits for name in split.validation]
    assert len(validated) == len(set(validated))
    assert set(validated) | set(splits[0].test) == {case.case for case in cases}
    sizes = [len(split.validation) for split in splits]
    assert max(sizes) - min(sizes) <= 1
    assert all(sum("B" in name for name in split.validation) in (3, 4) for split in splits)
    assert make_split(cases, test=0, fold=0).test == ()


@given(st.integers(3, 60), st.integers(0, 50), st.floats(0.01, 0.49), st.floats(0.01, 0.49))
@settings(max_examples=60, deadline=None)
def test_no_part_is_empty_and_nothing_is_lost(count, seed, validation, test) -> None:
    cases = many(count)
    split = make_split(cases, seed, validation, test)
    assert all(parts(split))
    assert sum(map(len, parts(split))) == count


@given(st.integers(2, 8), st.integers(0, 20), st.integers(0, 50), st.floats(0, 0.9))
@settings(max_examples=60, deadline=None)
def test_no_fold_is_empty(folds, more, seed, test) -> None:
    cases = many(folds + 1 + more)
    for fold in range(folds):
        split = make_split(cases, seed, test=test, fold=fold, folds=folds)
        assert split.train
        assert split.validation
        assert bool(split.test) == (test > 0)


def test_too_few_patients_and_impossible_shares() -> None:
    assert [len(part) for part in parts(make_split(many(3)))] == [1, 1, 1]
    same = [make(f"{i}", "one patient") for i in range(9)]
    with pytest.raises(DataError, match=r"1 patients cannot fill the 3 parts[\s\S]*remedy"):
        make_split(same)
    with pytest.raises(DataError, match="2 patients"):
        make_split(many(2))
    assert [len(part) for part in parts(make_split(many(2), test=0))] == [1, 1, 0]
    with pytest.raises(DataError, match="5 patients cannot fill the 6 parts"):
        make_split(many(5), fold=0)
    for wrong in ({"validation": 0.5, "test": 0.5}, {"test": -0.1}, {"test": 1.0, "fold": 0}):
        with pytest.raises(ConfigError, match="leave nothing to train"):
            make_split(many(9), **wrong)
    for wrong in ({"fold": 5}, {"fold": -1}, {"fold": 0, "folds": 1}):
        with pytest.raises(ConfigError, match="there is no fold"):
            make_split(many(9), **wrong)


def test_synthetic_cases_are_only_trained_on() -> None:
    made = [replace(make(f"made{i}"), synthetic=True) for i in range(20)]
    split = make_split([*many(10), *made])
    assert {case.case for case in made} <= set(split.train)
    assert (len(split.validation), len(split.test)) == (1, 2)
    with pytest.raises(DataError, match="made0: it is synthetic, but in the test part"):
        Split.from_cases(many(2), [], made[:1])
    tested = make_split(many(10)).test[0]
    copy = replace(make("copy", tested), synthetic=True)
    with pytest.raises(DataError, match=f"patient {tested} is in two parts"):
        make_split([*many(10), copy])


def test_leaks_are_refused() -> None:
    a, b, c = make("a", "p"), make("b", "p"), make("c")
    with pytest.raises(DataError, match="patient p is in two parts of the split: a in train, b in"):
        Split.from_cases([a, c], [b])
    with pytest.raises(DataError, match="Case a: it is twice in the split: train and test"):
        Split.from_cases([a], [c], [a])
    with pytest.raises(DataError, match="Case a: it is twice in the split: train and train"):
        check_split(Split(("a", "a"), ("c",)), [a, c])
    with pytest.raises(DataError, match="Case z: it is in the test part of the split, but not in"):
        check_split(Split(("a",), ("c",), ("z",)), [a, b, c])
    split = Split.from_cases([a, b], [c])
    assert (split.train, split.validation, split.test) == (("a", "b"), ("c",), ())


def test_twins_are_drawn_as_one_patient() -> None:
    cases = many(60)
    rng = random.Random(0)
    names = [case.case for case in cases]
    pairs = [tuple(rng.sample(names, 2)) for _ in range(12)]
    twins = [Twin(a, b, 0.99) for a, b in pairs]
    parted = False
    for seed in range(6):
        split = make_split(cases, seed, twins=twins)
        sides = {name: part for part in PARTS for name in getattr(split, part)}
        assert all(sides[a] == sides[b] for a, b in pairs)
        assert len(sides) == 60
        assert split.patients == {name: name for name in names}
        alone = make_split(cases, seed)
        sides = {name: part for part in PARTS for name in getattr(alone, part)}
        parted |= any(sides[a] != sides[b] for a, b in pairs)
    assert parted  # without the twins, draws part some of them
    for fold in range(3):
        split = make_split(cases, 1, fold=fold, folds=3, twins=twins)
        sides = {name: part for part in PARTS for name in getattr(split, part)}
        assert all(sides[a] == sides[b] for a, b in pairs)


def test_twins_of_one_patient_change_no_draw() -> None:
    cases = [make(f"p{p}-{t}", f"p{p}") for p in range(20) for t in range(2)]
    twins = [Twin(f"p{p}-0", f"p{p}-1", 1.0, same_patient=True) for p in range(20)]
    assert make_split(cases, 4, twins=twins) == make_split(cases, 4)


def test_a_given_split_that_parts_twins_is_refused() -> None:
    a, b, c, d = (make(name) for name in "abcd")
    split = Split(("a", "c"), ("b",), ("d",))
    cases = [a, b, c, d]
    check_split(split, cases)
    check_split(split, cases, [Twin("a", "c", 0.99)])
    words = r"Case a: its images are near-identical to those of d, but it is in train and d in"
    with pytest.raises(DataError, match=rf"{words} test[\s\S]*split.duplicates=ignore"):
        check_split(split, cases, [Twin("d", "a", 0.99)])
    with pytest.raises(DataError, match="those of c, but it is in validation and c in train"):
        Split.from_cases([a, c], [b], [d], [Twin("c", "b", 0.96)])
    # The case that connects them was taken out of the split, the other two are still copies.
    with pytest.raises(DataError, match="near-identical to those of d"):
        check_split(split, cases, [Twin("a", "gone", 0.99), Twin("gone", "d", 0.99)])


def test_save_and_load(tmp_path: Path) -> None:
    cases = [make(f"p{p}-{t}", f"p{p}") for p in range(12) for t in range(2)]
    split = make_split(cases, seed=2, fold=1, folds=3)
    path = tmp_path / "run" / "split.json"
    split.save(path)
    loaded = Split.load(path)
    assert loaded == split
    assert dict(loaded.patients) == {case.case: case.patient for case in cases}
    stored = json.loads(path.read_text())
    patient = split.test[0].split("-")[0]
    assert stored["test"][patient] == [f"{patient}-0", f"{patient}-1"]
    assert (stored["seed"], stored["fold"], stored["folds"]) == (2, 1, 3)
    loaded.save(path)
    assert Split.load(path) == split


def test_a_split_written_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    path.write_text('{"train": ["a", "b"], "validation": ["c"]}')
    split = Split.load(path)
    assert (split.train, split.validation, split.test, split.seed) == (("a", "b"), ("c",), (), None)
    check_split(split, [make("a"), make("b"), make("c")])
    with pytest.raises(DataError, match="patient p is in two parts"):
        check_split(split, [make("a", "p"), make("b"), make("c", "p")])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1]", "not a split"),
        ('{"validation": ["a"]}', "not a split"),
        ('{"train": ["a"], "val": ["b"]}', "not a split"),
        ('{"train": [1, 2]}', "not a split"),
        ('{"train": "abc"}', "not a split"),
        ("{", "not valid JSON"),
        ('{"train": ["a"], "test": ["a"]}', "twice in the split"),
        ('{"train": {"p": ["a"]}, "test": {"p": ["b"]}}', "patient p is in two parts"),
    ],
)
def test_files_that_are_no_splits(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "split.json").write_text(content)
    with pytest.raises(DataError, match=message):
        Split.load(tmp_path / "split.json")
    with pytest.raises(DataError, match="file not found"):
        Split.load(tmp_path / "gone.json")
