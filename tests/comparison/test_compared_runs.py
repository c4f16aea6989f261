"""Real runs on a tiny phantom, from training to a verdict."""

import os
from pathlib import Path

import pytest
from simulated import quick

from lightning_brats import experiment, runs
from lightning_brats.comparison import compare, load_entries
from lightning_brats.data.phantom import write_phantom

TINY = (
    "model.size=tiny",
    "queue.patch_size=[16,16,16]",
    "queue.workers=0",
    "queue.patches_per_volume=2",
    "trainer.max_epochs=1",
    "trainer.check_val_every_n_epoch=1",
    "trainer.threads=1",
    "trainer.precision=32-true",
    "split.test=0.4",
    "tracking=none",
)


@pytest.mark.slow
def test_finished_runs_are_compared(tmp_path: Path) -> None:
    root = write_phantom(tmp_path / "phantom", layout="brats2021", cases=6, spacing=6.0)
    finished = tmp_path / "runs"
    for model, seed in (("unet", 0), ("unet", 1), ("residual_unet", 0)):
        os.environ.pop(runs.RUN_VARIABLE, None)
        given = (f"data.root={root}", f"runs={finished}", f"model={model}", f"seed={seed}")
        experiment.run(experiment.configure(*TINY, *given, f"name={model}{seed}"))
    entries = load_entries([finished])
    assert sorted((e.choice, e.seed) for e in entries) == [
        ("residual_unet", 0),
        ("unet", 0),
        ("unet", 1),
    ]
    found = compare(entries, quick(metrics=("dice", "hd95", "nsd_1.0")))
    assert set(found.choices) == {"unet", "residual_unet"}
    assert any("Trained once: residual_unet." in line for line in found.warnings)
    cost = found.cost.set_index("choice")
    for name in ("parameters", "gflops_per_patch", "train_seconds", "inference_seconds_per_case"):
        assert (cost[name] > 0).all()
    assert set(found.histories["name"]) >= {"train/loss", "val/dice_mean", "lr"}
    assert set(found.subgroups["group"]) <= {"size"}
    assert len(found.verdicts) > 2
