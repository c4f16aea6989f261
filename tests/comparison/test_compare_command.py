"""The command as a user types it, on tables and on what it writes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_module
from omegaconf import DictConfig
from simulated import Truth

from lightning_brats.comparison.command import run
from lightning_brats.comparison.result import FRAMES
from lightning_brats.errors import ConfigError, DataError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tables(tmp_path: Path) -> dict[str, Path]:
    """Scores of two choices, one file each."""
    rng = np.random.default_rng(0)
    drawn = Truth(seed=0.0).draw(rng, (0.1, 0.0), 20, 1)
    found = {}
    for name, values in zip(("better", "worse"), drawn, strict=True):
        rows = [
            (f"c{number:02d}", region, metric, value if metric == "dice" else 20 * (1 - value))
            for number, value in enumerate(values[:, 0])
            for region in ("WT", "ET")
            for metric in ("dice", "hd95")
        ]
        found[name] = tmp_path / f"{name}.csv"
        table = pd.DataFrame(rows, columns=["case", "region", "metric", "value"])
        table.to_csv(found[name], index=False)
    return found


def configured(*overrides: str) -> DictConfig:
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        return compose("compare", ["report=false", *overrides])


def test_the_command_prints_the_verdict_and_writes_files(tables, tmp_path) -> None:
    script = str(ROOT / "experiments" / "compare.py")
    arguments = [f"runs=[{tables['better']},{tables['worse']}]", "regions=[WT]", "metrics=[dice]"]
    done = subprocess.run(
        [sys.executable, script, *arguments], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "better beats worse on WT by" in done.stdout
    assert "Seeds are missing" in done.stdout
    assert "20 patients" in done.stdout
    output = tmp_path / "comparison"
    for name in ("verdict.md", "table.md", "table.tex", "table.csv", "comparison.json"):
        assert (output / name).stat().st_size > 0
    for name in FRAMES:
        assert (output / f"{name}.csv").exists()
    content = json.loads((output / "comparison.json").read_text())
    assert content["choices"] == ["better", "worse"]
    assert content["verdicts"][0].startswith("better ranks first")
    assert len(content["pairs"]) == 1
    assert (output / "compare.html").stat().st_size > 1000
    assert content["summary"][0]["sd_seeds"] is None
    assert "- better ranks first" in (output / "verdict.md").read_text()


def test_runs_are_named_in_a_map_or_a_list(tables, tmp_path) -> None:
    output = f"output={tmp_path / 'out'}"
    named = f"runs={{Ours: {tables['better']}, Theirs: {tables['worse']}}}"
    found = run(configured(named, output, "baseline=Theirs", "metrics=[hd95]"))
    assert found.choices == ("Ours", "Theirs")
    assert found.settings.metrics == ("hd95",)
    listed = f"runs=[{tables['better']},{tables['worse']}]"
    found = run(configured(listed, "names=[A,B]", output))
    assert found.choices == ("A", "B")
    with pytest.raises(ConfigError, match="have names already"):
        run(configured(named, "names=[A,B]", output))


def test_one_choice_is_refused_and_a_locked_folder_too(tables, tmp_path) -> None:
    with pytest.raises(ConfigError, match="all runs are one choice, 'better'"):
        run(configured(f"runs={tables['better']}", f"output={tmp_path / 'out'}"))
    with pytest.raises(ConfigError, match="no run is named"):
        run(configured(f"output={tmp_path / 'out'}"))
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="no write permission"):
        run(configured(f"runs={tables['better']}", f"output={tmp_path / 'file'}"))


def test_the_same_input_gives_the_same_files(tables, tmp_path) -> None:
    for name in ("one", "two"):
        run(configured(f"runs=[{tables['better']},{tables['worse']}]", f"output={tmp_path / name}"))
    for name in FRAMES:
        first, second = (
            (tmp_path / folder / f"{name}.csv").read_text() for folder in ("one", "two")
        )
        assert first == second
