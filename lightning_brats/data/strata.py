"""Drawing patients so that every part has its share of each cohort, grade and tumour size."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from lightning_brats.data.case import Case
from lightning_brats.errors import ConfigError, DataError

SIZE_CLASSES = 3


def stratified(
    cases: Sequence[Case], seed: int, sizes: Mapping[str, float] | None = None
) -> list[str]:
    """Patients, stratum after stratum, shuffled by the seed within each.

    Taking patients at equal distances from this list takes from every stratum in proportion, and
    small strata share what is left over, instead of each being rounded away.

    Args:
        cases: Cases of the patients.
        seed: Of the shuffle, which depends on nothing but it and the patient's name.
        sizes: Case → tumour volume in ml; thirds of the patients' means become strata.

    Raises:
        DataError: A case has no size.
    """
    by_patient: dict[str, list[Case]] = {}
    for case in sorted(cases, key=lambda case: case.case):
        by_patient.setdefault(case.patient, []).append(case)
    size_class = _size_classes(by_patient, sizes) if sizes is not None else {}

    def key(patient: str) -> tuple[str, str, int, float]:
        first = by_patient[patient][0]
        order = _uniform(seed, patient)
        return first.cohort, first.grade or "", size_class.get(patient, 0), order

    return sorted(by_patient, key=key)


def spread(patients: Sequence[str], share: float, seed: int, leave: int) -> set[str]:
    """A share of the patients, at equal distances from a start that the seed gives.

    At least one unless the share is 0, and at least `leave` are left over.
    """
    if share == 0:
        return set()
    count = min(max(round(share * len(patients)), 1), len(patients) - leave)
    distance = len(patients) / count
    start = distance * _uniform(seed, "start")
    return {patients[math.floor(start + i * distance)] for i in range(count)}


def in_cohorts(cases: Sequence[Case], cohorts: Sequence[str]) -> set[str]:
    """Patients with a case in one of the cohorts.

    Raises:
        ConfigError: A cohort has no case.
    """
    known = sorted({case.cohort for case in cases})
    if unknown := [name for name in cohorts if name not in known]:
        raise ConfigError(
            f"split.test_cohorts: the data have no cohort {', '.join(unknown)}",
            remedy=f"choose from {', '.join(name or '(unnamed)' for name in known)}",
        )
    return {case.patient for case in cases if case.cohort in cohorts}


def _size_classes(
    by_patient: Mapping[str, Sequence[Case]], sizes: Mapping[str, float]
) -> dict[str, int]:
    missing = [c.case for cases in by_patient.values() for c in cases if c.case not in sizes]
    if missing:
        remedy = "measure every case, or stratify without sizes"
        raise DataError("its tumour size is not given", case=missing[0], remedy=remedy)
    mean = {p: fmean(sizes[case.case] for case in cases) for p, cases in by_patient.items()}
    ranked = sorted(mean, key=lambda patient: (mean[patient], patient))
    return {patient: SIZE_CLASSES * i // len(ranked) for i, patient in enumerate(ranked)}


def _uniform(seed: int, text: str) -> float:
    """Number in [0, 1) that is the same on every machine and Python."""
    digest = hashlib.sha256(f"{seed}:{text}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
