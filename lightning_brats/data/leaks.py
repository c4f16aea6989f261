"""What would make a score look better than it is: training cases among those that are scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lightning_brats.data.case import Case
from lightning_brats.data.duplicates import Twin, twin_groups
from lightning_brats.errors import DataError

if TYPE_CHECKING:
    from lightning_brats.data.splits import Split

PARTS = ("train", "validation", "test")


def check_split(split: Split, cases: Sequence[Case], twins: Sequence[Twin] = ()) -> None:
    """Make sure that nothing of the training part leaks into the others.

    Args:
        split: To be checked.
        cases: The data set.
        twins: Near-identical cases that must not lie on two sides.

    Raises:
        DataError: A patient or a pair of twins is on two sides, a case is listed twice or unknown,
            a synthetic case would be validated or tested on, or one that is trained on was made
            from a patient who is not.
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
    check_sides(split, {name: case.patient for name, case in known.items()})
    _check_origins(split, known)
    _check_twins(split, twins)


def check_sides(split: Split, patients: Mapping[str, str]) -> None:
    """Make sure that no patient is on two sides.

    Args:
        split: To be checked.
        patients: Case → patient, where known.

    Raises:
        DataError: One is, or a case is listed twice.
    """
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


def _check_origins(split: Split, known: Mapping[str, Case]) -> None:
    """Synthetic cases carry something of every patient that they were made from."""
    made = [known[name] for name in split.train if known[name].synthetic]
    if not made:
        return
    part_of = {
        known[name].patient: part
        for part in PARTS
        for name in getattr(split, part)
        if not known[name].synthetic
    }
    first = {case.origins: case for case in reversed(made)}  # many cases, few distinct origins
    for origins, case in first.items():
        other = next((patient for patient in origins if part_of.get(patient) != "train"), None)
        if other is not None:
            where = f"the {part_of[other]} part" if other in part_of else "no part"
            raise DataError(
                f"it is synthetic, made from patient {other}, who is in {where} of the split",
                case=case.case,
                file=next(iter(case.files), None),
                remedy="train on synthetic cases with the split of the run that made them "
                "(split.file=split.json beside them, or the same split.seed, shares and fold), or "
                "make others with this split",
            )


def _check_twins(split: Split, twins: Sequence[Twin]) -> None:
    if not twins:
        return
    part_of = {case: part for part in PARTS for case in getattr(split, part)}
    for group in twin_groups(twins):
        listed = [case for case in group if case in part_of]
        for other in listed[1:]:
            if part_of[other] != part_of[listed[0]]:
                raise DataError(
                    f"its images are near-identical to those of {other}, but it is in "
                    f"{part_of[listed[0]]} and {other} in {part_of[other]}",
                    case=listed[0],
                    remedy="put both into one part, or take one out; if they are two patients "
                    "after all, switch the check off with split.duplicates=ignore",
                )
