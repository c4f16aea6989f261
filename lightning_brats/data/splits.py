"""Which patient is trained, validated and tested on.

A patient is never on two sides: time points of one patient in both training and validation make
every score look better than it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning_brats.data.case import Case
from lightning_brats.data.layouts.files import read_json
from lightning_brats.data.strata import spread, stratified
from lightning_brats.errors import ConfigError, DataError

PARTS = ("train", "validation", "test")
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
        cls, train: Sequence[Case], validation: Sequence[Case], test: Sequence[Case] = ()
    ) -> Split:
        """A split by explicit lists.

        Raises:
            DataError: See `check_split`.
        """
        cases = [*train, *validation, *test]
        ids = [tuple(case.case for case in part) for part in (train, validation, test)]
        patients = {case.case: case.patient for case in cases}
        split = cls(ids[0], ids[1], ids[2], patients=patients)
        check_split(split, cases)
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
        _check_sides(split, patients)
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
) -> Split:
    """Draw a split by patient, stratified by cohort, grade and, where given, tumour size.

    The same patients and seed give the same split in whatever order the cases come. Synthetic
    cases are only trained on. The test part is the same in every fold.

    Args:
        cases: The data set.
        seed: Of the draw.
        validation: Share of the patients to validate on, where `fold` is not given.
        test: Share of the patients to test on; 0 leaves the part empty.
        fold: Validate on this one (from 0) of equal folds of all patients that are not tested on.
        folds: Number of folds.
        sizes: Case → tumour volume in ml.

    Raises:
        DataError: Too few patients, or see `check_split`.
        ConfigError: Shares or folds that cannot be.
    """
    _check_shares(validation, test, fold, folds)
    real = [case for case in cases if not case.synthetic]
    patients = stratified(real, seed, sizes)
    leave = 1 + (validation > 0) if fold is None else folds
    _check_enough(patients, leave + (test > 0))
    tested = spread(patients, test, seed, leave)
    rest = [patient for patient in patients if patient not in tested]
    if fold is None:
        validated = spread(rest, validation * len(patients) / len(rest), seed, leave=1)
    else:
        validated = set(rest[fold::folds])
    sides = {patient: "validation" for patient in validated} | {p: "test" for p in tested}
    parts: dict[str, list[str]] = {part: [] for part in PARTS}
    for case in cases:
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
    check_split(split, cases)
    return split


def check_split(split: Split, cases: Sequence[Case]) -> None:
    """Make sure that nothing of the training part leaks into the others.

    Raises:
        DataError: A patient is on two sides, a case is listed twice or unknown, or a synthetic case
            would be validated or tested on.
    """
    known = {case.case: case for case in cases}
    for part in PARTS:
        for name in getattr(split, part):
            if name not in known:
                raise DataError(
                    f"it is in the {part} part of the split, but not in the data set, which has "
                    f"{', '.join(sorted(known)[:3])} …",
                    case=name,
                    remedy="use the split with the data it was made for, or take the case out",
                )
            if known[name].synthetic and part != "train":
                raise DataError(
                    f"it is synthetic, but in the {part} part of the split",
                    case=name,
                    remedy="move it to the training part; scores on made-up cases mean nothing",
                )
    _check_sides(split, {name: case.patient for name, case in known.items()})


def _check_sides(split: Split, patients: Mapping[str, str]) -> None:
    part_of: dict[str, str] = {}
    side_of: dict[str, tuple[str, str]] = {}
    for part in PARTS:
        for case in getattr(split, part):
            if case in part_of:
                where = f"twice in the split: {part_of[case]} and {part}"
                raise DataError(f"it is {where}", case=case, remedy="list it once")
            part_of[case] = part
            patient = patients.get(case, case)
            side, other = side_of.setdefault(patient, (part, case))
            if side != part:
                raise DataError(
                    f"patient {patient} is in two parts of the split: {other} in {side}, "
                    f"{case} in {part}",
                    case=case,
                    remedy="put all cases of a patient into one part",
                )


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
