"""Post-processing that a run chooses on its validation cases."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from test_experiment import configure

from lightning_brats import experiment, segmentation, tuning_run
from lightning_brats.data.phantom import write_phantom
from lightning_brats.data.splits import Split
from lightning_brats.errors import ConfigError
from lightning_brats.inference import SlidingWindow
from lightning_brats.labels import region_masks
from lightning_brats.postprocess import DropSmall, Grid, Hierarchy, Postprocess
from lightning_brats.runs import RUN_VARIABLE
from lightning_brats.task import SegmentationTask
from lightning_brats.tuning_run import SCORES, ProbabilityWriter, Tuning, chosen, kept_cases

MM = (1.0, 1.0, 1.0)
OPTIONS = ("model=fcnn", "postprocess=tuned", "split.validation=0.3")


@pytest.fixture(autouse=True)
def forgotten_run() -> Iterator[None]:
    """Commands called by later tests must not go on in the folder of a run made here."""
    yield
    os.environ.pop(RUN_VARIABLE, None)


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "phantom"
    return write_phantom(root, layout="brats2021", cases=6, spacing=6.0)


def test_a_tuned_run_keeps_what_it_chose_on_validation_cases_alone(
    phantom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[set[str]] = []
    search = tuning_run.tune

    def spied(cases, *args):
        files = {path.stem for path in next(tmp_path.rglob("probabilities")).iterdir()}
        read.append(files)
        return search(cases, *args)

    monkeypatch.setattr(tuning_run, "tune", spied)
    folder = experiment.run(configure(tmp_path, f"data.root={phantom}", *OPTIONS))
    split = Split.load(folder / "split.json")
    assert read == [set(split.validation)]
    assert not set(split.validation) & set(split.test)
    assert not (folder / "probabilities").exists()

    stored = json.loads((folder / "postprocess.json").read_text())
    assert stored["validation_cases"] == len(split.validation) == 2
    assert stored["after"] >= stored["before"]
    assert stored["gain"] == pytest.approx(stored["after"] - stored["before"])
    assert json.loads((folder / "summary.json").read_text())["postprocess"] == stored

    task = SegmentationTask.load_from_checkpoint(
        folder / "checkpoints" / "best.ckpt", weights_only=True
    )
    assert Postprocess.from_dict(task.context["postprocess"]) == chosen(folder)
    saved = {path.name.removesuffix(".nii.gz") for path in (folder / "predictions").iterdir()}
    assert saved == set(split.test)


def test_test_masks_are_made_with_what_was_chosen(
    phantom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that says 0.45 in the brain: nothing at 0.5, everything where 0.4 is chosen."""
    original = SlidingWindow.__call__

    def sure(self, net, image, head="regions", brain=None):
        found = original(self, net, image, head, brain)
        return torch.where(image[:1] != 0, 0.45, 0.0).expand_as(found).float()

    monkeypatch.setattr(SlidingWindow, "__call__", sure)
    folder = experiment.run(configure(tmp_path, f"data.root={phantom}", *OPTIONS))
    stored = json.loads((folder / "postprocess.json").read_text())
    assert stored["before"] == 0
    assert stored["after"] > 0
    assert chosen(folder).thresholds(["WT"])["WT"] < 0.45
    mask = next((folder / "predictions").iterdir())
    assert np.asarray(nib.load(mask).dataobj).any()


def test_the_stored_gain_is_that_of_an_independent_score(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.zeros((12, 12, 12), np.uint8)
    labels[2:8, 2:8, 2:8] = 2
    probabilities = np.stack([np.where(labels > 0, 0.45, 0.2 * rng.random(labels.shape))] * 3)
    kept = tmp_path / "kept"
    kept.mkdir()
    np.savez(
        kept / "a.npz",
        probabilities=probabilities.astype(np.float16),
        labels=labels,
        spacing=np.array(MM),
    )
    checkpoint = tmp_path / "best.ckpt"
    torch.save({"hyper_parameters": {"context": {"postprocess": None}}, "w": 1}, checkpoint)
    task = SegmentationTask(torch.nn.Conv3d(1, 3, 1))
    tuning = Tuning(Postprocess([Hierarchy()]), grid=Grid((0.3, 0.5), (0,)))
    tuning_run.choose(kept, tmp_path, checkpoint, tuning, task)
    stored = json.loads((tmp_path / "postprocess.json").read_text())
    # At 0.5 nothing is found: WT scores 0, TC and ET are empty in both and score 1.
    assert stored["before"] == pytest.approx(2 / 3)
    assert stored["after"] == pytest.approx(1)
    found = chosen(tmp_path)(probabilities, MM, task.regions, "regions")
    assert np.array_equal(region_masks(found, ["WT"])[0], labels > 0)
    rewritten = torch.load(checkpoint, weights_only=True)
    assert rewritten["w"] == 1
    assert rewritten["hyper_parameters"]["context"]["postprocess"] == chosen(tmp_path).to_dict()
    assert not list(tmp_path.glob("*.partial"))


def test_a_case_that_is_not_for_tuning_is_refused(tmp_path: Path, phantom: Path) -> None:
    built = experiment.build(configure(tmp_path, f"data.root={phantom}", *OPTIONS))
    writer = ProbabilityWriter(tmp_path / "kept", built.data.split.validation)
    batch = next(iter(built.data.test_dataloader()))
    with pytest.raises(RuntimeError, match="not for tuning"):
        writer.on_predict_batch_end(built.trainer, built.task, torch.zeros(3, 2, 2, 2), batch, 0)
    assert not list(kept_cases(tmp_path / "kept"))


def test_choices_that_cannot_work_are_refused_before_training(
    tmp_path: Path, phantom: Path
) -> None:
    root = f"data.root={phantom}"
    with pytest.raises(ConfigError, match=r"metric=hd95.*unknown"):
        experiment.build(configure(tmp_path, root, *OPTIONS, "postprocess.metric=hd95"))
    with pytest.raises(ConfigError, match="not between 0 and 1"):
        experiment.build(configure(tmp_path, root, *OPTIONS, "postprocess.grid.thresholds=[3]"))
    with pytest.raises(ConfigError, match="no validation cases"):
        experiment.build(configure(tmp_path, root, *OPTIONS, "split.validation=0"))


def test_scores_to_choose_by() -> None:
    """Two lesions of 6³ voxels, one found: by hand."""
    reference = np.zeros((40, 40, 40), bool)
    reference[2:8, 2:8, 2:8] = reference[30:36, 30:36, 30:36] = True
    predicted = reference.copy()
    predicted[30:] = False
    assert SCORES["dice"](reference, predicted, MM) == pytest.approx(2 / 3)
    assert SCORES["lesion_dice"](reference, predicted, MM) == pytest.approx(0.5)
    assert SCORES["nsd_1.0"](reference, predicted, MM) == pytest.approx(2 / 3, abs=0.01)
    nothing = np.zeros_like(reference)
    for score in SCORES.values():
        assert score(nothing, nothing, MM) == 1
        assert score(reference, nothing, MM) == 0


def test_a_fold_s_own_masks_are_made_without_what_was_tuned_on_them(
    tmp_path: Path, phantom: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[str, Postprocess]] = []
    original = segmentation.PredictionWriter.__init__

    def spied(self, folder, postprocess):
        made.append((folder.name, postprocess))
        original(self, folder, postprocess)

    monkeypatch.setattr(segmentation.PredictionWriter, "__init__", spied)
    found = Postprocess([DropSmall(5), Hierarchy()], {"WT": 0.3})
    monkeypatch.setattr(segmentation.tuning_run, "chosen", lambda run: found)
    options = (f"data.root={phantom}", "model=fcnn", "postprocess=tuned", "fold=1", "folds=2")
    experiment.run(configure(tmp_path, *options, "trainer.max_epochs=1"))
    assert made == [
        ("predictions_validation", Postprocess([Hierarchy()])),
        ("predictions", found),
    ]
