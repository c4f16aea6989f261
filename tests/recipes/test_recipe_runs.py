"""Each recipe trains a few steps on its own layout and predicts in that layout's coding."""

import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from recipe_parts import NAMES, composed

from lightning_brats import experiment, runs
from lightning_brats.data.phantom import write_phantom
from lightning_brats.data.sources import load_cases
from lightning_brats.models import SIZES

VALUES = {
    "brats2020": {0, 1, 2, 4},
    "brats2021": {0, 1, 2, 4},
    "msd": {0, 1, 2, 3},
    "brats2024-gli": {0, 1, 2, 3, 4},
}
SHORT = (
    "queue.workers=0",
    "queue.patches_per_volume=2",
    "queue.batch_size=2",
    "trainer.max_epochs=1",
    "trainer.check_val_every_n_epoch=1",
    "trainer.threads=1",
    "trainer.precision=32-true",
    "tracking=none",
)


@pytest.fixture(scope="session")
def data_sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("data_sets")
    return {name: write_phantom(base / name, name, cases=6, spacing=6.0) for name in VALUES}


def narrow(name: str) -> list[str]:
    """The same network with as many stages of two or three channels."""
    model = composed(name).model
    if "width" in model:
        return ["model.width=2"]
    if "encoder" in model:
        return ["model.encoder=[[2,2],[2,2]]", "model.decoder=[[2,2]]"]
    stages = len(model.widths or SIZES[model.size])
    return [f"model.widths={[2] * (stages - 1) + [3]}"]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_trains_and_predicts(name: str, data_sets: dict[str, Path], tmp_path: Path) -> None:
    cfg = composed(name)
    layout = cfg.data.phantom.layout
    patch = [min(size, 40 if 1 in cfg.queue.patch_size else 24) for size in cfg.queue.patch_size]
    os.environ.pop(runs.RUN_VARIABLE, None)
    folder = experiment.run(
        experiment.configure(
            f"+recipe={name}",
            f"data.root={data_sets[layout]}",
            f"queue.patch_size={patch}",
            *narrow(name),
            *SHORT,
            f"runs={tmp_path}",
        )
    )
    assert folder.parent == tmp_path / name
    history = pd.read_csv(folder / "metrics.csv")
    assert history["step"].iloc[-1] >= 2
    assert np.isfinite(history["train/loss"]).all()
    summary = json.loads((folder / "summary.json").read_text())
    assert set(summary["regions"]) >= {"WT", "TC", "ET"}
    assert ("RC" in summary["regions"]) == (layout == "brats2024-gli")
    cases = {case.case: case for case in load_cases(root=data_sets[layout]).cases}
    written = list((folder / "predictions").glob("*.nii.gz"))
    assert written
    for path in written:
        saved = nib.load(path)
        given = nib.load(cases[path.name.removesuffix(".nii.gz")].images["t1c"].path)
        assert saved.shape == given.shape[:3]
        assert np.allclose(saved.affine, given.affine)
        assert set(np.unique(np.asarray(saved.dataobj))) <= VALUES[layout]
