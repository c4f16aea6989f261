"""2.5-D and several axes: from a configuration to masks, and back from the checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from conftest import write_case
from hydra import compose, initialize_config_module
from torch import Tensor

from lightning_brats import UNet, assembly, experiment
from lightning_brats.data.datamodule import BratsDataModule, from_files
from lightning_brats.data.index import index_dataset
from lightning_brats.data.phantom import write_phantom
from lightning_brats.data.preprocess import Prepared, Preprocess
from lightning_brats.data.sources import CaseSource
from lightning_brats.data.splits import Split
from lightning_brats.errors import ConfigError
from lightning_brats.labels import MODALITIES
from lightning_brats.machine import Machine
from lightning_brats.postprocess import Postprocess
from lightning_brats.prediction import context, predict
from lightning_brats.prediction.models import load_task
from lightning_brats.resolving import resolve
from lightning_brats.task import SegmentationTask
from lightning_brats.warmstart import warm_start

WINDOW = 32
ALL = "[axial,coronal,sagittal]"
SLICES = ("queue=slices", "model.spatial_dims=2", f"queue.patch_size=[{WINDOW},{WINDOW},1]")
TINY = (
    "model.size=tiny",
    "queue.workers=0",
    "queue.patches_per_volume=8",
    "queue.batch_size=4",
    "trainer.max_epochs=1",
    "trainer.check_val_every_n_epoch=1",
    "trainer.threads=1",
    "trainer.precision=32-true",
    "inference.precision=32",
    "postprocess=none",
    "tracking=none",
)


def run_predict(output: Path, source: Path, checkpoints: Sequence[Path], *others: str) -> Path:
    named = f"checkpoint=[{','.join(map(str, checkpoints))}]"
    fixed = (f"input={source}", f"output={output}", "precision=32", "accelerator=cpu")
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        return predict(compose("predict", [named, *fixed, "probabilities=true", *others]))


def by_hand(task: SegmentationTask, image: Tensor, axis: int, neighbours: int) -> Tensor:
    """Probabilities (K, X, Y, Z) of slices along an axis, in the middle of a window of zeros."""
    image = image.float()
    shape = [size for number, size in enumerate(image.shape[1:]) if number != axis]
    x, y = ((WINDOW - size) // 2 for size in shape)
    found = []
    for place in range(image.shape[1 + axis]):
        window = torch.zeros(len(image), 2 * neighbours + 1, WINDOW, WINDOW)
        for number in range(2 * neighbours + 1):
            other = place + number - neighbours
            if 0 <= other < image.shape[1 + axis]:
                plane = image.select(1 + axis, other)
                window[:, number, x : x + shape[0], y : y + shape[1]] = plane
        with torch.no_grad():
            logits = task.net(window.flatten(0, 1)[None])[0]
        found.append(logits[:, x : x + shape[0], y : y + shape[1]].sigmoid())
    return torch.stack(found, 1 + axis)


def first_case(root: Path, task: SegmentationTask) -> tuple[str, Prepared]:
    case = index_dataset(root, require_masks=False)[0]
    return case.case, from_files(Preprocess.from_dict(task.context["preprocess"]), case)


def assert_saved(folder: Path, case: str, prepared: Prepared, expected: Tensor) -> None:
    saved = nib.load(folder / f"{case}_probabilities.nii.gz").get_fdata()
    whole = prepared.geometry.restore(expected.numpy())
    assert np.abs(np.moveaxis(saved, -1, 0) - whole).max() < 1e-4
    assert whole.std() > 1e-3


@pytest.mark.slow
def test_from_training_to_prediction(tmp_path: Path) -> None:
    """A network on three slices of all axes trains, is scored in 3-D, and is read back."""
    root = write_phantom(tmp_path / "p", layout="brats2021", cases=6, spacing=6.0)
    options = (f"data.root={root}", f"runs={tmp_path / 'runs'}", "modality_dropout=0.2")
    slabs = ("queue.neighbours=1", f"queue.axes={ALL}", "augmentation=standard")
    folder = experiment.run(experiment.configure(*TINY, *SLICES, *options, *slabs))
    assert (folder / "report.html").stat().st_size > 0
    scores = pd.read_csv(folder / "evaluation.csv")
    assert scores.query("metric == 'dice'")["value"].between(0, 1).all()
    checkpoint = folder / "checkpoints" / "best.ckpt"
    task = load_task(checkpoint)
    assert task.inference.neighbours == 1
    assert set(task.inference.axes) == {"axial", "coronal", "sagittal"}
    assert next(task.net.parameters()).shape[1] == 3 * len(MODALITIES)
    output = run_predict(tmp_path / "out", root, [checkpoint])
    case, prepared = first_case(root, task)
    image = torch.from_numpy(prepared.image)
    expected = torch.stack([by_hand(task, image, axis, 1) for axis in range(3)]).mean(0)
    assert_saved(output, case, prepared, expected)


def checkpoint(path: Path, axis: int, neighbours: int = 0) -> Path:
    """A 2-D network with random weights, saved as a run along this axis saves it."""
    torch.manual_seed(axis)
    case = write_case(path.parent / "trained_on", path.stem)
    stored = context(CaseSource("x", (case,)), Preprocess())
    stored |= {"postprocess": Postprocess().to_dict()}
    net = UNet(4 * (2 * neighbours + 1), 3, widths=[4, 8], spatial_dims=2)
    window = {
        "_target_": "lightning_brats.inference.SlidingWindow",
        "patch_size": [1 if number == axis else WINDOW for number in range(3)],
        "neighbours": neighbours,
    }
    task = SegmentationTask(net, inference=window, context=stored)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    trainer.strategy.connect(task)
    trainer.save_checkpoint(path)
    return path


@pytest.fixture
def unlabelled(tmp_path: Path) -> Path:
    """A case without a mask, its sides all different, as BraTS 2021 lays it out."""
    root = tmp_path / "data"
    case = write_case(root, "BraTS2021_00000", shape=(24, 28, 20))
    names = {"t1n": "t1", "t1c": "t1ce", "t2w": "t2", "t2f": "flair"}
    for modality, ref in case.images.items():
        ref.path.rename(ref.path.with_name(f"{case.case}_{names[modality]}.nii.gz"))
    case.mask.unlink()
    return root


def test_three_networks_with_an_axis_each_are_an_ensemble(tmp_path: Path, unlabelled: Path) -> None:
    """Each with another number of neighbours, which its checkpoint knows."""
    files = [checkpoint(tmp_path / f"{axis}.ckpt", axis, neighbours=axis) for axis in range(3)]
    output = run_predict(tmp_path / "out", unlabelled, files)
    tasks = [load_task(file) for file in files]
    case, prepared = first_case(unlabelled, tasks[0])
    image = torch.from_numpy(prepared.image)
    alone = [by_hand(task, image, axis, axis) for axis, task in enumerate(tasks)]
    assert_saved(output, case, prepared, torch.stack(alone).mean(0))


def test_a_network_of_one_axis_is_run_along_others(tmp_path: Path, unlabelled: Path) -> None:
    file = checkpoint(tmp_path / "axial.ckpt", 2, neighbours=1)
    task = load_task(file)
    case, prepared = first_case(unlabelled, task)
    image = torch.from_numpy(prepared.image)
    for axes, numbers in ((ALL, (0, 1, 2)), ("[coronal]", (1,)), ("null", (2,))):
        output = run_predict(
            tmp_path / f"out{len(numbers)}{numbers[0]}", unlabelled, [file], f"axes={axes}"
        )
        expected = torch.stack([by_hand(task, image, axis, 1) for axis in numbers]).mean(0)
        assert_saved(output, case, prepared, expected)


def configured(*overrides: str):
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        return compose("run", ["model_name=x", *overrides])


@pytest.fixture
def data(tmp_path: Path) -> BratsDataModule:
    cases = tuple(write_case(tmp_path, f"c{i}", seed=i, shape=(40, 60, 30)) for i in range(3))
    return BratsDataModule(CaseSource("made up", cases), split=Split(("c0",), ("c1",), ("c2",)))


def resolved(data: BratsDataModule, *overrides: str):
    return resolve(configured(*overrides), Machine("cpu", 2, 8.0, (), 0.0), data)


def test_auto_patches_hold_the_slices_of_all_axes(data: BratsDataModule) -> None:
    x, y, z = (-(-size // 16) * 16 for size in data.typical_shape())
    assert len({x, y, z}) == 3
    for axes, expected in (
        ("null", [x, y, 1]),
        ("[sagittal]", [y, z, 1]),
        ("[coronal]", [x, z, 1]),
        (ALL, [max(x, y), max(y, z), 1]),
    ):
        cfg = resolved(data, "model.spatial_dims=2", f"queue.axes={axes}")
        assert list(cfg.queue.patch_size) == list(cfg.inference.patch_size) == expected
        assert cfg.inference.axes == cfg.queue.axes
        assert assembly.network_config(cfg, data.source)["in_channels"] == 4


def test_auto_fit_counts_all_channels(data: BratsDataModule) -> None:
    cfg = resolved(
        data,
        "model.spatial_dims=2",
        "model.size=tiny",
        "queue.neighbours=2",
        "queue.patch_size=[32,32,1]",
        "trainer.auto_fit=true",
    )
    assert assembly.network_config(cfg, data.source)["in_channels"] == 20


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["queue.neighbours=1"], "queue.neighbours=1 is for slices"),
        (["inference.axes=[axial]"], "inference.axes=.* is for slices"),
        (["model.spatial_dims=2", "inference.neighbours=1"], "trained with queue.neighbours=0"),
        (["model.spatial_dims=2", "queue.axes=[oblique]"], "queue.axes=.*sagittal"),
    ],
)
def test_what_cannot_be_is_said_before_training(
    data: BratsDataModule, overrides: list[str], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        resolved(data, *overrides)


def test_another_number_of_slices_starts_with_a_fresh_first_layer(tmp_path: Path) -> None:
    weights = checkpoint(tmp_path / "flat.ckpt", 2)
    task = load_task(checkpoint(tmp_path / "slab.ckpt", 2, neighbours=1))
    found = warm_start(task, weights)
    assert len(found.fresh) >= 1
    assert not found.adapted
    assert all("12" in line and "4" in line for line in found.fresh)
    assert "start fresh" in " ".join(found.lines())
