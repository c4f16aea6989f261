"""Real runs on the tiny phantom: a grid, a pruned search, and a trial on two ranks."""

import csv
import json
import subprocess
from pathlib import Path

import pytest
from sweep_parts import command, plan_of
from test_experiment import TINY

from lightning_brats.data.phantom import write_phantom
from lightning_brats.sweeps.ledger import Ledger

pytestmark = pytest.mark.slow
FIXED = [o for o in TINY if not o.startswith(("model", "trainer.max_epochs"))]


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "phantom"
    return write_phantom(root, layout="brats2021", cases=6, spacing=6.0)


def sweep(folder: Path, *overrides: str) -> str:
    done = subprocess.run(
        command("run.py", *overrides), cwd=folder, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def fixed(phantom: Path, *more: str) -> str:
    words = [f"data.root={phantom}", "model=unet", "model.size=tiny", *FIXED, *more]
    return "fixed=[" + ",".join(f'"{word}"' for word in words) + "]"


def best(run: Path) -> float:
    rows = csv.DictReader((run / "metrics.csv").open())
    return max(float(row["val/dice_mean"]) for row in rows if row["val/dice_mean"])


def test_a_grid_of_two(phantom: Path, tmp_path: Path) -> None:
    options = (fixed(phantom), "grid={loss:[dice_ce,dice]}", "+budget={unit:steps,amount:6}")
    text = sweep(tmp_path, *options)
    assert "2 done" in text
    found = Ledger(plan_of(tmp_path / "runs", *options, "storage=null")).entries()
    for entry in found:
        run = tmp_path / "runs" / "study" / f"trial-000{entry.root}"
        assert entry.trial.values == [pytest.approx(best(run))]
        assert json.loads((run / "summary.json").read_text())["steps"] == 6
        assert (run / "report.html").exists()


def test_a_search_gives_up_what_is_hopeless(phantom: Path, tmp_path: Path) -> None:
    """With a threshold that nothing reaches, every trial after the warm-up is given up."""
    pruner = "+pruner={_target_:optuna.pruners.ThresholdPruner,lower:2.0,n_warmup_steps:1}"
    options = (
        fixed(phantom),
        "space={optimizer.lr:{low:0.001,high:0.01,log:true}}",
        "n_trials=1",
        "budget.unit=epochs",
        "budget.amount=5",
        pruner,
    )
    assert "1 pruned" in sweep(tmp_path, *options)
    run = tmp_path / "runs" / "study" / "trial-0000"
    assert json.loads((run / "pruned.json").read_text())["epoch"] == 1
    assert len(list(csv.DictReader((run / "metrics.csv").open()))) == 2


def test_two_ranks_stop_together(phantom: Path, tmp_path: Path) -> None:
    pruner = "+pruner={_target_:optuna.pruners.ThresholdPruner,lower:2.0}"
    ranks = ("trainer.devices=2", "trainer.strategy=ddp", "trainer.accelerator=cpu")
    options = (
        fixed(phantom, *ranks),
        "space={optimizer.lr:{low:0.001,high:0.01,log:true}}",
        "n_trials=1",
        "budget.unit=epochs",
        "budget.amount=5",
        pruner,
    )
    assert "1 pruned" in sweep(tmp_path, *options)
    (entry,) = Ledger(plan_of(tmp_path / "runs", *options, "storage=null")).entries()
    assert list(entry.trial.intermediate_values) == [0]
