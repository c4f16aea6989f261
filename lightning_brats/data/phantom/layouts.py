"""How public data sets name their files: one entry a layout, each checked against the real one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning_brats.data.phantom.descriptions import (
    cases_csv,
    msd_json,
    name_mapping,
    nnunet_json,
)
from lightning_brats.data.phantom.exam import Exam, Files
from lightning_brats.labels import MODALITIES


@dataclass(frozen=True)
class Layout:
    """A public data set's conventions.

    Args:
        scheme: Name of its label coding.
        files: Names the files of an examination.
        finish: Writes what describes the data set, when all cases are there.
        orientation: Directions of the array axes.
        postop: Examinations after treatment, several a patient.
        tests: Unlabelled examinations added to the labelled ones.
    """

    scheme: str
    files: Callable[[Exam], Files]
    finish: Callable[[Path, Sequence[tuple[Exam, Files]]], None] = lambda root, written: None
    orientation: str = "LPS"
    postop: bool = False
    tests: int = 0

    def exams(self, cases: int, labelled: bool) -> list[Exam]:
        """What to make for a data set of so many cases."""
        extra = self.tests if labelled else 0
        pairs = itertools.islice(self._visits(), cases + extra)
        return [Exam(k, *pair, labelled and k < cases) for k, pair in enumerate(pairs)]

    def _visits(self) -> Iterator[tuple[int, int]]:
        for patient in itertools.count():
            for visit in range((2, 1, 3)[patient % 3] if self.postop else 1):
                yield patient, visit


_OLD = {"t1n": "t1", "t1c": "t1ce", "t2w": "t2", "t2f": "flair"}  # until 2021


def _folder(parent: str, case: str, mark: str, names: Mapping[str, str], extension: str) -> Files:
    stem = f"{parent}{case}/{case}{mark}"
    images = {m: f"{stem}{names.get(m, m)}{extension}" for m in MODALITIES}
    return Files(case, images, f"{stem}seg{extension}")


def _graded(prefix: str) -> Callable[[Exam], Files]:
    """2018, 2019: labelled cases in a folder a grade; three letters name the patient."""

    def files(exam: Exam) -> Files:
        letters = "".join(chr(65 + exam.patient // 26**power % 26) for power in (2, 1, 0))
        parent = f"{exam.grade}/" if exam.labelled else ""
        return _folder(parent, f"{prefix}_CBICA_{letters}_1", "_", _OLD, ".nii.gz")

    return files


def _brats2020(exam: Exam) -> Files:
    part = "Training" if exam.labelled else "Validation"
    return _folder("", f"BraTS20_{part}_{exam.patient + 1:03d}", "_", _OLD, ".nii")


def _brats2021(exam: Exam) -> Files:
    return _folder("", f"BraTS2021_{exam.patient:05d}", "_", _OLD, ".nii.gz")


def _hyphened(cohort: str, first_visit: int = 0) -> Callable[[Exam], Files]:
    """2023, 2024: patient and time point."""

    def files(exam: Exam) -> Files:
        case = f"BraTS-{cohort}-{exam.patient:05d}-{first_visit + exam.visit:03d}"
        return _folder("", case, "-", {}, ".nii.gz")

    return files


def _msd(exam: Exam) -> Files:
    case, part = f"BRATS_{exam.number + 1:03d}", "Tr" if exam.labelled else "Ts"
    image = f"images{part}/{case}.nii.gz"
    order = ("t2f", "t1n", "t1c", "t2w")
    return Files(case, dict.fromkeys(order, image), f"labelsTr/{case}.nii.gz")


def _nnunet(exam: Exam) -> Files:
    case, part = f"PHANTOM_{exam.number:03d}", "Tr" if exam.labelled else "Ts"
    images = {m: f"images{part}/{case}_{k:04d}.nii.gz" for k, m in enumerate(MODALITIES)}
    return Files(case, images, f"labelsTr/{case}.nii.gz")


def _table(exam: Exam) -> Files:
    case = f"case_{exam.number:03d}"
    images = {m: f"volumes/{case}_{m}.nii.gz" for m in MODALITIES}
    return Files(case, images, f"volumes/{case}_mask.nii.gz")


LAYOUTS: Mapping[str, Layout] = {
    "brats2018": Layout("brats2018", _graded("Brats18")),
    "brats2019": Layout("brats2018", _graded("BraTS19")),
    "brats2020": Layout("brats2018", _brats2020, name_mapping),
    "brats2021": Layout("brats2018", _brats2021),
    "brats2023-gli": Layout("brats2023", _hyphened("GLI")),
    "brats2023-ssa": Layout("brats2023", _hyphened("SSA"), orientation="RAS"),
    "brats2023-men": Layout("brats2023", _hyphened("MEN")),
    "brats2023-ped": Layout("brats2023", _hyphened("PED")),
    "brats2023-met": Layout("brats2023", _hyphened("MET")),
    "brats2024-gli": Layout("brats2024", _hyphened("GLI", first_visit=100), postop=True),
    "msd": Layout("msd", _msd, msd_json, tests=1),
    "nnunet": Layout("msd", _nnunet, nnunet_json),
    "table": Layout("brats2023", _table, cases_csv),
}
