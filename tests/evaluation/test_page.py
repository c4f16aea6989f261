"""The page of an evaluation, read back as HTML."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import LPS, write_case
from hydra import compose, initialize_config_module
from saved_masks import mask_of, save, three_cases
from test_report import NASTY, Page

from lightning_brats.data.case import Case
from lightning_brats.evaluation import Evaluation, examine, pair_files, summarise
from lightning_brats.evaluation.command import run
from lightning_brats.evaluation.subject import of_folder, of_folds
from lightning_brats.report import Subject, panels, sections, write_evaluation


@pytest.fixture(autouse=True, scope="module")
def small_pictures() -> Iterator[None]:
    """Drawing takes most of the time, and what is drawn is looked at in test_figures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(panels, "DPI", 20)
        patch.setattr(sections, "DPI", 20)
        yield


def make_folder(root: Path) -> tuple[list[Case], Path]:
    """Three cases, and masks of two of them and one that belongs to nobody."""
    cases = three_cases(root / "data")
    path = root / "somebody's masks"
    path.mkdir()
    for shift, case in enumerate(cases[:2], 1):
        save(path, f"{case.case}.nii.gz", case, np.roll(mask_of(case), shift, 0))
    save(path, "left-over.nii.gz", cases[0])
    return cases, path


@pytest.fixture
def cases(tmp_path: Path) -> list[Case]:
    return make_folder(tmp_path)[0]


@pytest.fixture
def folder(tmp_path: Path, cases: list[Case]) -> Path:
    return tmp_path / "somebody's masks"


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command leaves when it scores that folder against plain masks."""
    root = tmp_path_factory.mktemp("work")
    cases, folder = make_folder(root)
    for case in cases:
        save(root / "plain", f"{case.case}.nii.gz", case)
    options = ("labels=brats2021", "protocol=brats2023-gli")
    evaluated(folder, root / "plain", root / "out", *options)
    return root / "out"


def read(path: Path) -> Page:
    page = Page(path.read_text(encoding="utf-8"))
    page.text = " ".join(page.text.split())
    return page


def evaluated(predictions: Path, references: Path, output: Path, *options: str) -> Page:
    given = [f"predictions={json.dumps(str(predictions))}", f"references={references}"]
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        cfg = compose("evaluate", [*given, f"output={output}", "workers=1", *options])
    run(cfg)
    return read(output / "evaluation.html")


def test_a_folder_with_gaps(output) -> None:
    page = read(output / "evaluation.html")
    for words in (
        "somebody's masks",
        "protocol brats2023-gli",
        "3 cases of 3 patients",
        "1 case without a prediction , scored as if nothing had been predicted: P2-1",
        "left-over.nii.gz",
        "1 NETC, 2 SNFH, 4 ET",
        "The references come without images",
        "Nothing was predicted.",
        "P2-1 no prediction",
        "Mean [95 % interval]",
        "Lesion Dice",
        "374 mm",
        "Where masks err",
        "Errors of every case",
    ):
        assert words in page.text, words
    assert "Does the network know" not in page.text
    links = [a[name] for _, a in page.tags for name in ("src", "href") if name in a]
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in links)
    figures = {path.name for path in (output / "figures").iterdir()}
    assert figures == {
        "boundary.png",
        "case_best.png",
        "case_median.png",
        "case_worst.png",
        "scores.png",
    }
    assert len([a for tag, a in page.tags if tag == "img"]) == len(figures)


def test_tiles_and_table_are_those_of_the_summary(output) -> None:
    page = read(output / "evaluation.html")
    summary = json.loads((output / "summary.json").read_text())
    dice = {region: found["lesion_dice"] for region, found in summary["regions"].items()}
    overall = summary["mean"]["lesion_dice"]
    assert page.tiles == {
        "Mean Dice": f"{overall['mean']:.3f}",
        **{region: f"{found['mean']:.3f}" for region, found in dice.items()},
    }
    assert f"(95 % interval {overall['low']:.3f} to {overall['high']:.3f})" in page.text
    whole = dice["WT"]
    assert f"{whole['mean']:.3f} [{whole['low']:.3f} to {whole['high']:.3f}]" in page.text
    assert f"{whole['median']:.3f} [{whole['q1']:.3f} to {whole['q3']:.3f}]" in page.text
    middle = summary["regions"]["WT"]["lesion_hd95"]["median"]
    assert f"mean lesion-wise Dice, median HD95 {middle:.1f} mm" in page.text


def test_a_data_set_with_images_and_what_predicting_left(tmp_path) -> None:
    cases = [write_case(tmp_path / "set", f"BraTS2021_0000{n}", seed=n) for n in (1, 2)]
    masks = tmp_path / "masks"
    masks.mkdir()
    rows = []
    for shift, case in enumerate(cases):
        save(masks, f"{case.case}.nii.gz", case, np.roll(mask_of(case), shift, 1))
        soft = np.stack([0.9 * (mask_of(case) > 0)] * 3, -1).astype(np.float32)
        nib.save(nib.Nifti1Image(soft, LPS), masks / f"{case.case}_probabilities.nii.gz")
        rows.append((case.case, 0.9 - shift / 10, 0.8, 0.7))
    names = ["case", *(f"{region}_predicted_dice" for region in ("WT", "TC", "ET"))]
    pd.DataFrame(rows, columns=names).to_csv(masks / "predictions.csv", index=False)
    page = evaluated(masks, tmp_path / "set", tmp_path / "out")
    for words in (
        "Does the network know when it errs?",
        "Calibration is measured in the brain.",
        "next to the true one in 2 cases.",
        "With so few cases these charts say little.",
        "mean of the regions",
    ):
        assert words in page.text, words
    assert "without images" not in page.text
    assert "left over" not in page.text.lower().replace("files left over 0", "")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["extra"] == summary["missing"] == []
    assert summary["confidence"]["regions"]["WT"]["n"] == 2
    charts = {a["data-chart"] for _, a in page.tags if "data-chart" in a}
    assert charts == {"dice", "hd95", "boundary", "calibration", "dice-predicted", "risk"}


def test_images_that_cannot_be_read_do_not_stop_the_page(cases, folder, tmp_path) -> None:
    for case in cases:
        case.images["t1c"].path.write_bytes(b"nothing")
    pairing = pair_files(folder, cases)
    found = examine(pairing, cases)
    summary = summarise(found.scores) | {"missing": pairing.missing, "extra": []}
    subject = of_folder(folder, tmp_path, cases, pairing, False)
    page = read(write_evaluation(tmp_path, found, summary, subject))
    assert "The images cannot be shown: unreadable or truncated NIfTI file" in page.text


def test_names_stay_text(cases, folder, tmp_path) -> None:
    shutil.move(folder, tmp_path / "<b>masks")
    pairing = pair_files(tmp_path / "<b>masks", cases)
    scores = examine(pairing, cases).scores.replace({"P1-1": NASTY})
    summary = summarise(scores) | {"missing": [NASTY], "extra": []}
    subject = of_folder(tmp_path / "<b>masks", tmp_path, cases, pairing, False)
    bare = Subject(subject.name, subject.facts, subject.lists)
    page = read(write_evaluation(tmp_path, Evaluation(scores), summary, bare))
    assert NASTY in page.text
    assert not [a for _, a in page.tags if "onerror" in a]
    assert "b" not in {tag for tag, a in page.tags if "<b>masks" in str(a)}
    assert not any(tag == "img" and "alert" in str(a) for tag, a in page.tags)


def test_cohorts_and_folds_have_tables(cases, folder, tmp_path) -> None:
    found = examine(pair_files(folder, cases), cases, boundary=False).scores
    cohorts = {"P1-1": "GLI", "P1-2": "GLI", "P2-1": "SSA"}
    folds = {"P1-1": 0, "P1-2": 1, "P2-1": 1}
    scores = found.assign(cohort=found["case"].map(cohorts), fold=found["case"].map(folds))
    summary = summarise(scores) | {"missing": [], "extra": []}
    page = read(write_evaluation(tmp_path, Evaluation(scores), summary, Subject("masks", [])))
    # Of the only SSA case nothing was predicted: the distance counts as the penalty.
    for words in (
        "By cohort",
        "By fold",
        "WT median HD95",
        "SSA 1 1 0.000 0.000 0.000 0.000 374.0",
    ):
        assert words in page.text, words
    assert "Segmentations" not in page.text


def test_folds_are_described_by_their_runs(cases, tmp_path) -> None:
    runs = []
    for fold, own in enumerate((cases[:2], cases[2:])):
        masks = tmp_path / f"fold{fold}" / "predictions_validation"
        for case in own:
            save(masks, f"{case.case}.nii.gz", case)
        data = {"_target_": f"{__name__}.Source", "root": str(tmp_path), "cache": None}
        config = {"model_name": "unet", "data": data}
        (masks.parent / "config.yaml").write_text(yaml.safe_dump(config))
        runs.append(masks.parent)
    Source.cases = cases
    scores = pd.DataFrame({"case": [case.case for case in cases]})
    subject = of_folds(runs, scores)
    assert subject.name == "unet, 2 folds"
    assert set(subject.cases) == {"P1-1", "P1-2", "P2-1"}
    assert subject.predicted is not None
    labels = mask_of(cases[2])
    volume = type("Volume", (), {"image": labels[None], "affine": LPS})
    assert np.array_equal(subject.predicted(cases[2], volume), labels)
    config = {"data": {"_target_": "lightning_brats.data.sources.load_cases", "root": "/nowhere"}}
    (runs[0] / "config.yaml").write_text(yaml.safe_dump(config))
    moved = of_folds(runs, scores)
    assert moved.cases == {}
    assert dict(moved.facts)["Pictures"].startswith("none: ")


class Source:
    """Stands for a data set in a run's configuration."""

    cases: ClassVar[list[Case]] = []

    def __init__(self, root: str) -> None:
        self.root = root
