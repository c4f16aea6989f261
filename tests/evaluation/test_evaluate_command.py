"""References in any form, and the command as a user types it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import write_case
from hydra import compose, initialize_config_module
from saved_masks import mask_of, save, three_cases

from lightning_brats.data.case import Case
from lightning_brats.errors import ConfigError
from lightning_brats.evaluation import evaluate, reference_cases
from lightning_brats.evaluation.command import run

ROOT = Path(__file__).parents[2]


@pytest.fixture
def cases(tmp_path: Path) -> list[Case]:
    return three_cases(tmp_path / "data")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "predictions"
    path.mkdir()
    return path


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    script = str(ROOT / "experiments" / "evaluate.py")
    return subprocess.run(
        [sys.executable, script, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120
    )


def test_references_in_a_plain_folder(cases, tmp_path) -> None:
    plain = tmp_path / "plain"
    for case in cases:
        save(plain, f"{case.case}_seg.nii.gz", case)
    found = reference_cases(plain, "brats2021")
    assert [case.case for case in found] == ["P1-1", "P1-2", "P2-1"]
    assert {case.scheme.name for case in found} == {"brats2018"}
    assert reference_cases(plain)[0].scheme.name == "brats2023"
    assert reference_cases(plain, {1: 1, 7: 3})[0].scheme.codes[7] == 3
    with pytest.raises(ConfigError, match="brats2023"):
        reference_cases(plain, "brats3000")


def test_references_in_a_data_set(tmp_path) -> None:
    for number in (1, 2):
        write_case(tmp_path, f"BraTS2021_0000{number}", seed=number)
    found = reference_cases(tmp_path)
    assert [case.case for case in found] == ["BraTS2021_00001", "BraTS2021_00002"]
    assert found[0].scheme.codes[4] == 3
    frame = evaluate(tmp_path, found)  # masks found among the images of each case's folder
    assert (frame.query("metric == 'dice'")["value"] == 1).all()


def test_the_command_prints_a_table_and_writes_files(cases, folder, tmp_path) -> None:
    for case in cases[:2]:
        save(folder, f"{case.case}.nii.gz", case, np.roll(mask_of(case), 1, 0))
    plain = tmp_path / "plain"
    for case in cases:
        save(plain, f"{case.case}_seg.nii.gz", case)
    work = tmp_path / "work"
    work.mkdir()
    done = command(
        f"predictions={folder}",
        f"references={plain}",
        "labels=brats2021",
        "protocol=brats2023-gli",
        "output=scores",
        cwd=work,
    )
    assert done.returncode == 0, done.stderr
    for words in ("WT", "Dice", "lesion-wise", "1 case without a prediction", "P2-1", "374 mm"):
        assert words in done.stdout
    assert sorted(p.name for p in work.iterdir()) == ["scores"]
    written = {path.name for path in (work / "scores").iterdir()}
    tables = {"errors.csv", "errors_distances.csv", "errors_confusion.csv"}
    scores = {"evaluation.csv", "evaluation.parquet", "evaluation.html", "summary.json"}
    assert written == scores | tables | {"figures"}
    summary = json.loads((work / "scores" / "summary.json").read_text())
    assert (summary["cases"], summary["missing"]) == (3, ["P2-1"])
    dice = pd.read_csv(work / "scores" / "evaluation.csv").query("metric == 'dice'")
    mean = dice.query("region == 'WT'")["value"].mean()
    assert summary["regions"]["WT"]["dice"]["mean"] == pytest.approx(mean)
    assert f"{mean:.3f}" in done.stdout


def test_page_and_errors_can_be_left_out(cases, folder, tmp_path) -> None:
    plain = tmp_path / "plain"
    for case in cases:
        save(plain, f"{case.case}_seg.nii.gz", case)
        save(folder, f"{case.case}.nii.gz", case)
    given = [f"predictions={folder}", f"references={plain}", "labels=brats2021"]
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        cfg = compose(
            "evaluate", [*given, f"output={tmp_path / 'out'}", "report=false", "boundary=false"]
        )
    run(cfg)
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"evaluation.csv", "evaluation.parquet", "summary.json"}


@pytest.mark.slow
def test_the_command_reports_errors_without_a_traceback(cases, folder, tmp_path) -> None:
    (folder / "foreign.nii.gz").touch()
    references = tmp_path / "plain"
    save(references, "P1-1.nii.gz", cases[0])
    done = command(f"predictions={folder}", f"references={references}", cwd=tmp_path)
    assert done.returncode == 2
    assert "no prediction matches a case" in done.stderr
    forgotten = command(f"predictions={folder}", cwd=tmp_path)
    assert forgotten.returncode == 2
    assert "not given: references" in forgotten.stderr
    assert "Traceback" not in done.stderr
