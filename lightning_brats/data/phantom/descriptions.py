"""Files that describe a data set: `dataset.json`, name mappings, tables."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_brats.data.phantom.exam import Exam, Files
from lightning_brats.labels import MODALITIES

Written = Sequence[tuple[Exam, Files]]


def name_mapping(root: Path, written: Written) -> None:
    """The grades of BraTS 2020; those of its validation cases were never given."""
    older = ("BraTS_2017_subject_ID", "BraTS_2018_subject_ID", "TCGA_TCIA_subject_ID")
    header = ("Grade", *older, "BraTS_2019_subject_ID", "BraTS_2020_subject_ID")
    rows = [(exam.grade, *["NA"] * 4, files.case) for exam, files in written if exam.labelled]
    if rows:
        _write_csv(root / "name_mapping.csv", [header, *rows])


def cases_csv(root: Path, written: Written) -> None:
    """A table with one row a case, paths relative to it."""
    masks = ["mask"] if any(exam.labelled for exam, _ in written) else []
    rows: list[Sequence[str]] = [("case", "patient", *MODALITIES, *masks)]
    for exam, files in written:
        images = (files.images[modality] for modality in MODALITIES)
        mask = [files.mask] if masks else []
        rows.append((files.case, f"patient_{exam.patient:03d}", *images, *mask))
    _write_csv(root / "cases.csv", rows)


def msd_json(root: Path, written: Written) -> None:
    """As the Medical Segmentation Decathlon's, with its two spellings of tumour."""
    training = [files for exam, files in written if exam.labelled]
    tests = [files for exam, files in written if not exam.labelled]
    content = {
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
            {"image": f"./{files.images['t2f']}", "label": f"./{files.mask}"} for files in training
        ],
        "test": [f"./{files.images['t2f']}" for files in tests],
    }
    _write_json(root / "dataset.json", content)


def nnunet_json(root: Path, written: Written) -> None:
    """As nnU-Net's own conversion of BraTS 2021 writes it: regions, oedema first."""
    content = {
        "channel_names": {"0": "T1", "1": "T1ce", "2": "T2", "3": "Flair"},
        "labels": {
            "background": 0,
            "whole tumor": [1, 2, 3],
            "tumor core": [2, 3],
            "enhancing tumor": [3],
        },
        "regions_class_order": [1, 2, 3],
        "numTraining": sum(exam.labelled for exam, _ in written),
        "file_ending": ".nii.gz",
    }
    _write_json(root / "dataset.json", content)


def _write_csv(path: Path, rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2))
