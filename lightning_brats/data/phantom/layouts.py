"""How public data sets name their files: one entry a layout, each checked against the real one."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_brats.data.phantom.plan import kind_of
from lightning_brats.labels import MODALITIES


@dataclass(frozen=True)
class Exam:
    """One examination to be made and written.

    Args:
        number: Position in the data set.
        patient: Seeds the patient; several examinations may share one.
        visit: Counts the patient's examinations.
        labelled: Whether the mask is written.
    """

    number: int
    patient: int
    visit: int
    labelled: bool

    @property
    def grade(self) -> str:
        """`HGG` or `LGG`."""
        return kind_of(self.patient).grade


@dataclass(frozen=True)
class Files:
    """Files of one examination, relative to the data set; one path for all images is a 4-D file."""

    case: str
    images: Mapping[str, str]
    mask: str


Finish = Callable[[Path, Sequence[Exam]], None]


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
    finish: Finish = lambda root, exams: None
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


def _name_mapping(root: Path, exams: Sequence[Exam]) -> None:
    """The grades of 2020; those of the validation cases were never given."""
    older = ("BraTS_2017_subject_ID", "BraTS_2018_subject_ID", "TCGA_TCIA_subject_ID")
    header = ("Grade", *older, "BraTS_2019_subject_ID", "BraTS_2020_subject_ID")
    rows = [(exam.grade, *["NA"] * 4, _brats2020(exam).case) for exam in exams if exam.labelled]
    if rows:
        _write_csv(root / "name_mapping.csv", [header, *rows])


def _cases_csv(root: Path, exams: Sequence[Exam]) -> None:
    labelled = any(exam.labelled for exam in exams)
    rows: list[Sequence[str]] = [("case", "patient", *MODALITIES, *(["mask"] if labelled else []))]
    for exam in exams:
        files = _table(exam)
        mask = [files.mask] if labelled else []
        rows.append((files.case, f"patient_{exam.patient:03d}", *files.images.values(), *mask))
    _write_csv(root / "cases.csv", rows)


def _write_csv(path: Path, rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def _msd_json(root: Path, exams: Sequence[Exam]) -> None:
    training = [_msd(exam) for exam in exams if exam.labelled]
    tests = [_msd(exam).images["t2f"] for exam in exams if not exam.labelled]
    _write_json(
        root / "dataset.json",
        {
            "name": "BRATS",
            "description": "digital phantom, laid out like the Medical Segmentation Decathlon",
            "tensorImageSize": "4D",
            "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
            "labels": {
                "0": "background",
                "1": "edema",
                "2": "non-enhancing tumor",
                "3": "enhancing tumour",
            },
            "numTraining": len(training),
            "numTest": len(tests),
            "training": [
                {"image": f"./{case.images['t2f']}", "label": f"./{case.mask}"} for case in training
            ],
            "test": [f"./{path}" for path in tests],
        },
    )


def _nnunet_json(root: Path, exams: Sequence[Exam]) -> None:
    """As nnU-Net's own conversion of BraTS 2021 writes it: regions, oedema first."""
    _write_json(
        root / "dataset.json",
        {
            "channel_names": {"0": "T1", "1": "T1ce", "2": "T2", "3": "Flair"},
            "labels": {
                "background": 0,
                "whole tumor": [1, 2, 3],
                "tumor core": [2, 3],
                "enhancing tumor": [3],
            },
            "regions_class_order": [1, 2, 3],
            "numTraining": sum(exam.labelled for exam in exams),
            "file_ending": ".nii.gz",
        },
    )


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2))


LAYOUTS: Mapping[str, Layout] = {
    "brats2018": Layout("brats2018", _graded("Brats18")),
    "brats2019": Layout("brats2018", _graded("BraTS19")),
    "brats2020": Layout("brats2018", _brats2020, _name_mapping),
    "brats2021": Layout("brats2018", _brats2021),
    "brats2023-gli": Layout("brats2023", _hyphened("GLI")),
    "brats2023-ssa": Layout("brats2023", _hyphened("SSA"), orientation="RAS"),
    "brats2023-men": Layout("brats2023", _hyphened("MEN")),
    "brats2023-ped": Layout("brats2023", _hyphened("PED")),
    "brats2023-met": Layout("brats2023", _hyphened("MET")),
    "brats2024-gli": Layout("brats2024", _hyphened("GLI", first_visit=100), postop=True),
    "msd": Layout("msd", _msd, _msd_json, tests=1),
    "nnunet": Layout("msd", _nnunet, _nnunet_json),
    "table": Layout("brats2023", _table, _cases_csv),
}
