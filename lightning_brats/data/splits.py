"""Which patient is trained, validated and tested on.

A patient is never on two sides: time points of one patient in both training and validation make
every score look better than it is. Neither are two cases with near-identical images (`Twin`), which
are one patient under two names. Leave `twins` out where that is known to be wrong.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lightning_brats.data.case import Case
from lightning_brats.data.duplicates import Twin, joined_patients
from lightning_brats.data.layouts.files import read_json
from lightning_brats.data.leaks import PARTS, check_sides, check_split
from lightning_brats.data.strata import in_cohorts, spread, stratified
from lightning_brats.errors import ConfigError, DataError
from lightning_brats.parallel import no_collection

DRAW = ("seed", "fold", "folds")


@dataclass(frozen=True)
class Split:
    """Case identifiers of each part, and how they were drawn.

    Args:
        train: To learn from.
        validation: To choose by.
        test: To report on.
        seed: Of the draw; `None` for lists that somebody chose.
        fold: Which of the `folds` is validated on; `None` for a single draw.
        folds: Number of folds.
        patients: Case → patient, as far as known.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...] = ()
    seed: int | None = None
    fold: int | None = None
    folds: int | None = None
    patients: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def from_cases(
        cls,
        train: Sequence[Case],
        validation: Sequence[Case],
        test: Sequence[Case] = (),
        twins: Sequence[Twin] = (),
    ) -> Split:
        """A split by explicit lists.

        Raises:
            DataError: See `check_split`.
        """
        cases = [*train, *validation, *test]
        ids = [tuple(case.case for case in part) for part in (train, validation, test)]
        patients = {case.case: case.patient for case in cases}
        split = cls(ids[0], ids[1], ids[2], patients=patients)
        check_split(split, cases, twins)
        return split

    @classmethod
    def load(cls, path: Path) -> Split:
        """Read what `save` or a person wrote; `check_split` then compares it with the data.

        Args:
            path: JSON: `train`, `validation` and `test`, each a list of case identifiers, or
                patient → list of case identifiers.

        Raises:
            DataError: The file is not a split, or a case or patient is in two places.
        """
        content = read_json(path)
        if (
            not isinstance(content, dict)
            or set(content) - {*PARTS, *DRAW}
            or "train" not in content
        ):
            raise _not_a_split(path)
        patients: dict[str, str] = {}
        parts = {part: _read_part(content.get(part, []), patients, path) for part in PARTS}
        draw = {key: content.get(key) for key in DRAW}
        split = cls(**parts, **draw, patients=patients)  # type: ignore[arg-type]
        check_sides(split, patients)
        return split

    def save(self, path: Path) -> None:
        """Write JSON in which every part is patient → cases."""
        content: dict[str, Any] = {key: getattr(self, key) for key in DRAW}
        for part in PARTS:
            grouped: dict[str, list[str]] = {}
            for case in getattr(self, part):
                grouped.setdefault(self.patients.get(case, case), []).append(case)
            content[part] = grouped
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def make_split(
    cases: Sequence[Case],
    seed: int = 0,
    validation: float = 0.1,
    test: float = 0.2,
    fold: int | None = None,
    folds: int = 5,
    sizes: Mapping[str, float] | None = None,
    twins: Sequence[Twin] = (),
    test_cohorts: Sequence[str] | None = None,
) -> Split:
    """Draw a split by patient, stratified by cohort, grade and, where given, tumour size.

    The same patients and seed give the same split in whatever order the cases come. Synthetic
    cases are only trained on. The test part is the same in every fold. Patients that are twins
    are drawn as one.

    Args:
        cases: The data set.
        seed: Of the draw.
        validation: Share of the patients to validate on, where `fold` is not given.
        test: Share of the patients to test on; 0 leaves the part empty.
        fold: Validate on this one (from 0) of equal folds of all patients that are not tested on.
        folds: Number of folds.
        sizes: Case → tumour volume in ml.
        twins: Near-identical cases, see `lightning_brats.data.duplicates.find_duplicates`.
        test_cohorts: Cohorts to test on, whole, instead of a share of all patients: external
            validation. `validation` is then a share of the other patients.

    Raises:
        DataError: Too few patients, or see `check_split`.
        ConfigError: Shares or folds that cannot be, or a cohort that the data do not have.
    """
    _check_shares(validation, 0 if test_cohorts else test, fold, folds)
    with no_collection():
        return _drawn(cases, seed, validation, test_cohorts or test, fold, folds, sizes, twins)


def _drawn(
    cases: Sequence[Case],
    seed: int,
    validation: float,
    test: float | Sequence[str],
    fold: int | None,
    folds: int,
    sizes: Mapping[str, float] | None,
    twins: Sequence[Twin],
) -> Split:
    drawn = _joined(cases, twins)
    real = [case for case in drawn if not case.synthetic]
    patients = stratified(real, seed, sizes)
    leave = 1 + (validation > 0) if fold is None else folds
    if isinstance(test, Sequence):
        tested = in_cohorts(real, test)
        patients = [patient for patient in patients if patient not in tested]
        _check_enough(patients, leave)
    else:
        _check_enough(patients, leave + (test > 0))
        tested = spread(patients, test, seed, leave)
    rest = [patient for patient in patients if patient not in tested]
    if fold is None:
        validated = spread(rest, validation * len(patients) / len(rest), seed, leave=1)
    else:
        validated = set(rest[fold::folds])
    sides = {patient: "validation" for patient in validated} | {p: "test" for p in tested}
    parts: dict[str, list[str]] = {part: [] for part in PARTS}
    for case in drawn:
        side = "train" if case.synthetic else sides.get(case.patient, "train")
        parts[side].append(case.case)
    split = Split(
        tuple(sorted(parts["train"])),
        tuple(sorted(parts["validation"])),
        tuple(sorted(parts["test"])),
        seed=seed,
        fold=fold,
        folds=None if fold is None else folds,
        patients={case.case: case.patient for case in cases},
    )
    check_split(split, cases, twins)
    return split


def _joined(cases: Sequence[Case], twins: Sequence[Twin]) -> Sequence[Case]:
    """The cases, those of patients that share an examination under one patient's name."""
    if not twins:
        return cases
    patients = joined_patients({case.case: case.patient for case in cases}, twins)
    return [
        case if patients[case.case] == case.patient else replace(case, patient=patients[case.case])
        for case in cases
    ]


def _read_part(content: Any, patients: dict[str, str], path: Path) -> tuple[str, ...]:
    groups = content if isinstance(content, dict) else {None: content}
    names: list[str] = []
    for patient, cases in groups.items():
        if not isinstance(cases, list) or not all(isinstance(case, str) for case in cases):
            raise _not_a_split(path)
        names += cases
        patients.update({case: patient for case in cases if patient is not None})
    return tuple(names)


def _not_a_split(path: Path) -> DataError:
    remedy = 'write {"train": ["case1", …], "validation": [ … ], "test": [ … ]}'
    return DataError("the file is not a split", file=path, remedy=remedy)


def _check_shares(validation: float, test: float, fold: int | None, folds: int) -> None:
    if min(validation, test) < 0 or test + (validation if fold is None else 0) >= 1:
        raise ConfigError(
            f"shares of {validation:g} for validation and {test:g} for test leave nothing to train",
            remedy="shares are between 0 and 1, together below 1, e.g. 0.1 and 0.2",
        )
    if fold is not None and not (folds >= 2 and 0 <= fold < folds):
        raise ConfigError(
            f"there is no fold {fold} of {folds}", remedy=f"folds count from 0 to {folds - 1}"
        )


def _check_enough(patients: Sequence[str], needed: int) -> None:
    if len(patients) < needed:
        raise DataError(
            f"{len(patients)} patients cannot fill the {needed} parts of a split by patient",
            remedy="add patients, ask for fewer folds, set a share to 0, or give a split file",
        )
