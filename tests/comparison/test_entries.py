"""Runs, scored folders and tables as they lie on disk."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from lightning_brats.comparison import load_entries
from lightning_brats.comparison.entries import unfinished
from lightning_brats.comparison.loading import read_details
from lightning_brats.errors import ConfigError, DataError


def scores(cases: tuple[str, ...] = ("p1-1", "p1-2", "p2-1"), **columns) -> pd.DataFrame:
    rows = [
        (case, case.partition("-")[0], "A" if case < "p2" else "", region, metric, value)
        for case in cases
        for region in ("WT", "ET")
        for metric, value in (("dice", 0.8), ("volume_reference", 5000.0), ("hd95", np.inf))
    ]
    names = ["case", "patient", "cohort", "region", "metric", "value"]
    return pd.DataFrame(rows, columns=names).assign(**columns)


def write_run(folder: Path, model: str = "unet", seed: int = 0, **summary) -> Path:
    folder.mkdir(parents=True)
    config = {"model_name": model, "seed": seed, "fold": None, "model": {"size": "tiny"}}
    OmegaConf.save(OmegaConf.create(config), folder / "config.yaml")
    split = {"train": {"q": ["q-1"]}, "validation": ["v-1"], "test": {"p1": ["p1-1", "p1-2"]}}
    (folder / "split.json").write_text(json.dumps(split))
    known = {
        "model": model,
        "data_fingerprint": "abc",
        "phantom": True,
        "epochs": 2,
        "steps": 8,
        "train_seconds": 3.5,
        "parameters": 1000,
        "gflops_per_patch": 0.5,
        "peak_memory_mb": 300,
        "inference_seconds_per_case": 0.25,
    }
    (folder / "summary.json").write_text(json.dumps(known | summary))
    scores().to_csv(folder / "evaluation.csv", index=False)
    history = {"epoch": [0, 1], "step": [4, 8], "seconds": [2.0, 1.5], "val/dice_mean": [None, 0.4]}
    pd.DataFrame(history).to_csv(folder / "metrics.csv", index=False)
    return folder


def test_a_run_is_read_whole(tmp_path: Path) -> None:
    (entry,) = load_entries([write_run(tmp_path / "unet" / "today", seed=3)])
    assert (entry.name, entry.choice, entry.seed, entry.fold) == ("today", "unet", 3, None)
    assert list(entry.scores) == ["case", "region", "metric", "value"]
    assert entry.train_cases == {"q-1", "v-1"}
    assert entry.test_cases == ("p1-1", "p1-2", "p2-1")
    assert entry.patient("p1-2") == "p1"
    assert entry.patient("q-1") == "q"
    assert entry.facts["protocol"] == "legacy"
    assert entry.facts["data_fingerprint"] == "abc"
    assert entry.facts["budget"] == {"epochs": 2, "steps": 8, "train_seconds": 3.5}
    assert entry.facts["phantom"] is True
    assert entry.cost["parameters"] == 1000
    assert entry.cost["inference_seconds_per_case"] == 0.25
    assert "energy_kwh" not in entry.cost
    assert entry.history is not None
    assert entry.settings["model.size"] == "tiny"
    assert entry.cases is not None
    cases = entry.cases.set_index("case")
    assert cases.loc["p1-1", "volume_WT_ml"] == 5
    assert cases.loc["p1-1", "cohort"] == "A"
    assert pd.isna(cases.loc["p2-1", "cohort"])


def test_folders_of_runs_are_searched_and_unfinished_runs_told(tmp_path: Path) -> None:
    for model in ("unet", "vnet"):
        for seed in (0, 1):
            write_run(tmp_path / model / f"run{seed}", model, seed)
    (tmp_path / "vnet" / "run1" / "evaluation.csv").unlink()
    # Scores of validation cases lie inside a run, and are no run.
    inner = tmp_path / "unet" / "run0" / "predictions_validation"
    inner.mkdir()
    scores().to_csv(inner / "evaluation.csv", index=False)
    found = load_entries([tmp_path])
    assert [(e.choice, e.seed) for e in found] == [("unet", 0), ("unet", 1), ("vnet", 0)]
    assert unfinished([tmp_path]) == [tmp_path / "vnet" / "run1"]


def test_names_are_given_by_path(tmp_path: Path) -> None:
    write_run(tmp_path / "a" / "1", seed=0)
    write_run(tmp_path / "a" / "2", "vnet", seed=1)
    write_run(tmp_path / "b" / "1", seed=0)
    found = load_entries([tmp_path / "a", tmp_path / "b"], ["old", "new"])
    assert [entry.choice for entry in found] == ["old", "old", "new"]
    with pytest.raises(ConfigError, match="1 names for 2 paths"):
        load_entries([tmp_path / "a", tmp_path / "b"], ["old"])


def test_a_scored_folder_and_a_lone_table(tmp_path: Path) -> None:
    folder = tmp_path / "nnunet"
    folder.mkdir()
    table = scores()
    table.attrs = {"protocol": "brats2023-gli"}
    table.to_parquet(folder / "evaluation.parquet", index=False)
    (folder / "summary.json").write_text(json.dumps({"protocol": "brats2023-gli"}))
    lone = tmp_path / "theirs.csv"
    scores()[["case", "region", "metric", "value"]].to_csv(lone, index=False)
    first, second = load_entries([folder, lone])
    assert (first.choice, first.seed, first.train_cases) == ("nnunet", None, frozenset())
    assert first.facts["protocol"] == "brats2023-gli"
    assert (second.choice, second.name) == ("theirs", "theirs")
    assert "protocol" not in second.facts
    assert len(second.scores) == len(first.scores)
    assert np.isinf(second.scores["value"]).sum() == 6


def test_masks_of_a_run_scored_again_belong_to_the_run(tmp_path: Path) -> None:
    run = write_run(tmp_path / "unet" / "today")
    masks = run / "predictions"
    masks.mkdir()
    scores().to_csv(masks / "evaluation.csv", index=False)
    (masks / "summary.json").write_text(json.dumps({"protocol": "brats2023-gli"}))
    (entry,) = load_entries([masks])
    assert entry.facts["protocol"] == "brats2023-gli"
    assert entry.facts["data_fingerprint"] == "abc"
    assert (entry.choice, entry.name) == ("unet", "today")


def test_tables_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for name in ("x", "y"):
        (tmp_path / name / "masks").mkdir(parents=True)
        scores().to_csv(tmp_path / name / "masks" / "evaluation.csv", index=False)
        (tmp_path / name / "masks" / "summary.json").write_text("{}")
    found = load_entries([tmp_path / "x", tmp_path / "y"])
    assert [entry.choice for entry in found] == ["x/masks", "y/masks"]


def test_more_can_be_told_about_cases(tmp_path: Path) -> None:
    table = tmp_path / "grades.csv"
    table.write_text("case,grade,cohort\np1-1,HGG,Z\np2-1,LGG,Z\n")
    run = write_run(tmp_path / "run")
    (entry,) = load_entries([run], details=read_details(table))
    assert entry.cases is not None
    cases = entry.cases.set_index("case")
    assert cases["grade"].tolist()[::2] == ["HGG", "LGG"]
    assert cases.loc["p1-1", "cohort"] == "A"  # the scores' own
    table.write_text("name,grade\np1-1,HGG\n")
    with pytest.raises(DataError, match="no column 'case'"):
        read_details(table)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no run is named"):
        load_entries([])
    with pytest.raises(ConfigError, match="no such run"):
        load_entries([tmp_path / "nowhere"])
    with pytest.raises(ConfigError, match="nothing here has been scored"):
        load_entries([tmp_path])
    table = tmp_path / "t.csv"
    table.write_text("case,region,value\na,WT,1\n")
    with pytest.raises(DataError, match="lacks metric"):
        load_entries([table])
    table.write_text("case,region,metric,value\na,WT,dice,1\na,WT,dice,1\n")
    with pytest.raises(DataError, match="twice"):
        load_entries([table])
    table.write_text("case,region,metric,value\na,WT,beauty,1\n")
    with pytest.raises(DataError, match="unknown metrics"):
        load_entries([table])
    table.write_text("case,region,metric,value\na,WT,dice,good\n")
    with pytest.raises(DataError, match="unreadable scores"):
        load_entries([table])
    run = write_run(tmp_path / "run")
    with pytest.raises(ConfigError, match="named twice"):
        load_entries([run, run])
    (run / "summary.json").write_text("{")
    with pytest.raises(DataError, match="damaged summary"):
        load_entries([run])
