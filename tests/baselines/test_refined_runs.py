"""A network's run refined from end to end, and networks above classical methods."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lightning_brats import experiment, runs
from lightning_brats.baselines.command import configure, run
from lightning_brats.baselines.gain import described
from lightning_brats.data.phantom import write_phantom
from lightning_brats.data.reading import read_case
from lightning_brats.data.sources import load_cases
from lightning_brats.errors import ConfigError
from lightning_brats.evaluation.files import read_prediction

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

METHODS = (
    "thresholding",
    "region_growing",
    "kmeans",
    "fuzzy_c_means",
    "random_forest",
    "linear_svm",
)
TRAINED = (
    "model=unet",
    "model.size=small",
    "queue.patch_size=[32,32,32]",
    "queue.batch_size=2",
    "queue.workers=0",
    "trainer.max_epochs=40",
    "trainer.check_val_every_n_epoch=10",
    "trainer.threads=1",
    "trainer.precision=32-true",
    "tracking=none",
)
SHARED = ("split.test=0.3",)


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("refined") / "phantom"
    return write_phantom(root, layout="brats2021", cases=20, spacing=4.0)


@pytest.fixture(scope="module")
def network(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    os.environ.pop(runs.RUN_VARIABLE, None)
    folder = tmp_path_factory.mktemp("network")
    return experiment.run(
        experiment.configure(*TRAINED, *SHARED, f"data.root={phantom}", f"runs={folder}")
    )


def means(folder: Path) -> dict[str, float]:
    regions = json.loads((folder / "summary.json").read_text())["regions"]
    return {name: values["dice"] for name, values in regions.items()}


def chance(folder: Path, phantom: Path) -> float:
    """Expected Dice of masks as large as a folder's whose voxels lie anywhere in the brain."""
    found = []
    for case in load_cases(root=phantom).cases:
        path = folder / "predictions" / f"{case.case}.nii.gz"
        if path.exists():
            volume = read_case(case)
            predicted = read_prediction(case, path, volume.mask.shape, volume.affine, False) > 0
            wanted, brain = volume.mask > 0, int(volume.brain.sum())
            hits = predicted.sum() * wanted.sum() / brain
            found.append(2 * hits / max(predicted.sum() + wanted.sum(), 1))
    return float(np.mean(found))


def test_baselines_beat_chance_and_stay_under_a_network(
    phantom: Path, network: Path, tmp_path: Path
) -> None:
    reached = means(network)
    overall = float(np.mean(list(reached.values())))
    for method in METHODS:
        settings = (f"method={method}", f"data.root={phantom}", f"runs={tmp_path}", *SHARED)
        folder = run(configure(*settings))
        own = means(folder)
        assert own["WT"] > 3 * chance(folder, phantom), method
        assert np.mean(list(own.values())) < overall, method
        assert own["WT"] < reached["WT"], method


def test_a_run_is_refined_and_told_by_how_much(
    phantom: Path, network: Path, tmp_path: Path
) -> None:
    folder = run(configure("method=refine", f"method.run={network}", f"runs={tmp_path}"))
    assert folder.parent.name == "refine"
    summary = json.loads((folder / "summary.json").read_text())
    before = pd.read_csv(network / "evaluation.csv").query("metric == 'dice'")
    after = pd.read_csv(folder / "evaluation.csv").query("metric == 'dice'")
    assert set(before["case"]) == set(after["case"])
    for region, gain in summary["against_network"]["dice"].items():
        by_hand = after[after["region"] == region]["value"].mean()
        by_hand -= before[before["region"] == region]["value"].mean()
        assert gain["difference"] == pytest.approx(by_hand, abs=1e-4)
        assert gain["low"] <= gain["difference"] <= gain["high"]
    fitted = summary["fitted"]
    split = json.loads((network / "split.json").read_text())
    assert fitted["validation_cases"] == len(split["validation"])
    for region in ("WT", "TC", "ET"):
        scores = fitted[region]["validation_dice"]
        assert scores["after"] >= scores["before"]
    text = (folder / "report.html").read_text()
    for name, _ in described(summary["against_network"]):
        assert name in text


def test_what_is_no_run_cannot_be_refined(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no config.yaml, split.json[\s\S]*method.run="):
        run(configure("method=refine", f"method.run={tmp_path}", f"runs={tmp_path}"))
