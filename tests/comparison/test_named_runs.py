"""Runs that have names of their own are called by them; modalities are a choice."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf
from simulated import entry, quick
from test_entries import write_run

from lightning_brats.comparison import load_entries
from lightning_brats.comparison.checks import check_entries
from lightning_brats.errors import ConfigError

VALUES = [0.5, 0.6, 0.7, 0.8]


def named(folder: Path, model: str, seed: int, name: str | None = None) -> None:
    config = write_run(folder, model, seed) / "config.yaml"
    content = OmegaConf.load(config)
    content.name = name or model
    OmegaConf.save(content, config)


def choices(root: Path) -> list[str]:
    return [found.choice for found in load_entries([root])]


def test_a_name_for_each_choice_is_used(tmp_path: Path) -> None:
    for number, (model, name) in enumerate([("unet", "mine"), ("vnet", "theirs")]):
        for seed in (0, 1):
            named(tmp_path / f"{number}{seed}", model, seed, name)
    assert choices(tmp_path) == ["mine", "mine", "theirs", "theirs"]


def test_runs_with_and_without_one(tmp_path: Path) -> None:
    named(tmp_path / "0", "unet", 0, "mine")
    named(tmp_path / "1", "vnet", 0)
    assert choices(tmp_path) == ["mine", "vnet"]


def test_one_name_for_two_choices_tells_nothing(tmp_path: Path) -> None:
    named(tmp_path / "0", "unet", 0, "mine")
    named(tmp_path / "1", "vnet", 0, "mine")
    assert choices(tmp_path) == ["unet", "vnet"]


def test_two_names_for_one_choice_neither(tmp_path: Path) -> None:
    for number, (model, name) in enumerate([("unet", "a"), ("unet", "b"), ("vnet", "c")]):
        named(tmp_path / str(number), model, number, name)
    assert choices(tmp_path) == ["unet", "unet", "vnet"]


def test_training_with_synthetic_cases_is_a_choice(tmp_path: Path) -> None:
    for number, cases in enumerate([0, 0, 19]):
        write_run(tmp_path / str(number), seed=number % 2, synthetic_cases=cases)
    assert choices(tmp_path) == ["synthetic_cases=0"] * 2 + ["synthetic_cases=19"]


def test_other_modalities_are_another_choice_not_other_data() -> None:
    """A fingerprint counts the modalities, so it can only be compared where they are the same."""
    runs = [
        entry(
            name,
            name,
            0,
            {("WT", "dice"): VALUES},
            facts={"data_fingerprint": fingerprint},
            settings={"data.modalities": modalities},
        )
        for name, fingerprint, modalities in (
            ("four", "f", None),
            ("three", "g", ["t2f", "t1c", "t2w"]),
            ("other", "h", None),
        )
    ]
    check_entries(runs[:2], quick())
    with pytest.raises(ConfigError, match=r"data set .* differs: f \(four\), h \(other\)"):
        check_entries(runs, quick())
