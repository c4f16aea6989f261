"""The card of a made-up run says what its files say, with intervals, limits and sources."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from test_report import make_run

from lightning_brats.report import write_card
from lightning_brats.report.citations import of_data, of_network

MODEL = {"_target_": "lightning_brats.models.UNet", "skip": "attention", "block": "plain"}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Three cases of two patients."""
    folder = tmp_path / "attention_unet" / "2026-11-21_10-00-00"
    make_run(folder, ["a", "b & <i>b", "d"])
    table = pd.read_csv(folder / "evaluation.csv")
    table.loc[table["case"] == "d", "patient"] = "patient a"
    table.to_csv(folder / "evaluation.csv", index=False)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config |= {"model": MODEL, "head": "regions", "preprocess": {"normalisation": "zscore"}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


def change(run: Path, **facts: object) -> None:
    path = run / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))


def rows(card: str, start: str) -> list[list[str]]:
    """Cells of the table rows that begin so."""
    lines = [line for line in card.splitlines() if line.startswith(f"| {start} |")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_it_says_what_the_run_was(run: Path) -> None:
    change(run, data_fingerprint="0a1b2c")
    card = write_card(run, {}).read_text()
    assert card.startswith("# Model card: attention_unet on phantom\n")
    for words in (
        "Not a medical device",
        "21 November 2026, 10:00",
        "UNet (block plain, skip attention)",
        "WT, TC and ET: a sigmoid a region",
        "| Parameters | 5.65 M |",
        "| Data fingerprint | 0a1b2c |",
        "| Train | 2 | 1 |",
        "| Validation | 1 | 1 |",
        "2 and 8",  # epochs and steps
        "2 h 3 min on 2 × H200",
        "python experiments/run.py 'model=a<b'",
        "0123abc",
        "Oktay et al., Attention U-Net",
        "Mitchell et al., Model Cards",
        "Apache-2.0",
    ):
        assert words in card, words


def test_scores_have_intervals_over_patients(run: Path) -> None:
    """Cases a (0.8) and d (0.95) are of one patient, b (0.6) of another.

    Two patients drawn with replacement give 0.6, the mean of all (0.7833), or 0.875.
    """
    card = write_card(run, {}).read_text()
    dice = {row[1]: row for row in rows(card, "Dice")}
    assert dice["WT"] == ["Dice", "WT", "0.783 [0.600 to 0.875]", "0.800", "3"]
    assert dice["ET"][2].startswith("0.483 [0.000 to 0.725]")
    distance = {row[1]: row for row in rows(card, "HD95 (mm)")}
    assert distance["ET"][2].startswith(f"{np.mean([5, 374, 1.5]):.1f} ")
    assert "counts as 374 mm" in card
    assert "3 cases of 2 patients" in card


def test_limits_come_from_the_numbers(run: Path) -> None:
    excluded = [{"case": "x", "problem": "no mask"}]
    change(run, excluded=excluded, synthetic_cases=2, phantom=False)
    card = write_card(run, {}).read_text()
    limits = card.split("## Limits")[1].split("## Licence")[0]
    assert "Tested on 2 patients" in limits
    assert "one cohort (GLI)" in limits
    assert r"the worst, b & \<i>b, has a mean Dice of 0.400" in limits
    assert "1 case could not be used" in limits
    assert "2 cases of the data were made by a model" in limits


def test_a_cohort_kept_for_the_test_is_said_to_be_external(run: Path) -> None:
    change(run, phantom=False)
    assert "usually worse" in write_card(run, {}).read_text()
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["split"] = {"test_cohorts": ["GLI"]}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    card = write_card(run, {}).read_text()
    assert "one cohort (GLI), which it did not learn from" in card
    assert "usually worse" not in card
    assert "tested on whole cohorts: GLI" in card


def test_phantoms_are_said_to_mean_nothing(run: Path) -> None:
    assert "clinically they mean nothing" in write_card(run, {}).read_text()
    change(run, phantom=False)
    assert "clinically they mean nothing" not in write_card(run, {}).read_text()


def test_cohorts_are_told_apart(run: Path) -> None:
    table = pd.read_csv(run / "evaluation.csv")
    table["cohort"] = np.where(table["case"] == "a", "BraTS2021", "site | 2")
    table.to_csv(run / "evaluation.csv", index=False)
    change(run, phantom=False)
    card = write_card(run, {}).read_text()
    assert rows(card, "Cohort") == [["Cohort", "Cases", "WT", "TC", "ET"]]
    assert rows(card, "BraTS2021") == [["BraTS2021", "1", "0.800", "0.700", "0.600"]]
    assert r"| site \| 2 | 2 | 0.775 [0.600 to 0.950] |" in card
    assert "one cohort" not in card
    assert "Baid et al." in card


def test_a_classical_run_has_no_training(run: Path) -> None:
    (run / "metrics.csv").unlink()
    change(run, classical=True, parameters=None)
    card = write_card(run, {}).read_text()
    assert "## Training" not in card
    assert "Parameters" not in card
    assert rows(card, "Dice")


def test_papers_are_those_of_the_network_and_the_data() -> None:
    assert len(of_network(MODEL)) == 4
    assert of_network({"_target_": "somebody.Net"}) == []
    assert of_data(["BraTS2023-SSA"]) == [
        "Adewole et al., The Brain Tumor Segmentation Challenge 2023: Africa, 2023"
    ]
    assert of_data(["BraTS2018", "BraTS2019"]) == of_data(["BraTS2020"])
    assert of_data(["BraTS2024-GLI"]) == of_data(["BraTS2024"])
    assert of_data(["own hospital"]) == []


def test_every_model_of_ours_has_its_paper() -> None:
    from test_configs import CONFIGS

    for path in sorted((CONFIGS / "model").glob("*.yaml")):
        config = yaml.safe_load(path.read_text())
        if str(config.get("_target_", "")).startswith("monai."):
            assert of_network(config), path.stem
