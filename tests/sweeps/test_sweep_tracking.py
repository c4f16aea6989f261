"""One trial is one record at W&B, in its study's group, however often it is resumed."""

from pathlib import Path

import pytest

from lightning_brats import tracking

SETTINGS = {
    "mode": "offline",
    "project": "p",
    "entity": None,
    "group": None,
    "tags": [],
    "job_type": "train",
}


def start(folder: Path, **settings: str) -> tuple[str, str]:
    logger = tracking.start(SETTINGS | settings, folder, "name", "the data", {})
    assert logger
    return logger._wandb_init["id"], logger._wandb_init["group"]


def test_a_trial_s_record_is_named_by_its_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_RUN_ID", "losses-1a2b3c4d-trial-0007")
    monkeypatch.setenv("WANDB_RUN_GROUP", "losses")
    assert start(tmp_path) == ("losses-1a2b3c4d-trial-0007", "losses")
    assert start(tmp_path, group="mine")[1] == "mine"


def test_without_a_study_the_folder_and_the_data_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_RUN_ID", raising=False)
    monkeypatch.delenv("WANDB_RUN_GROUP", raising=False)
    folder = tmp_path / "unet" / "2026-01-01"
    assert start(folder) == ("unet-2026-01-01", "the data")
