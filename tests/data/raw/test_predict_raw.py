"""`predict.py` on a scanner's own data: DICOM or NIfTI in, masks on the scanner's grid out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_module
from made_scans import CLINICAL, sample, write_nifti, write_series

from lightning_brats.data.case import Case
from lightning_brats.data.datamodule import from_files, volume_loader
from lightning_brats.data.preprocess import Preprocess
from lightning_brats.data.raw import RawSteps
from lightning_brats.data.sources import CaseSource
from lightning_brats.errors import DataError
from lightning_brats.labels import labels_from_regions
from lightning_brats.postprocess import Postprocess
from lightning_brats.prediction import PredictionWriter, context, predict
from lightning_brats.task import SegmentationTask

REGIONS = ("WT", "TC", "ET")
PAIR = ("t1c", "t2w")
STEPS = Preprocess(spacing=3.0, raw=RawSteps(register="rigid"))
DESCRIPTIONS = {"t1c": "t1 mprage GD", "t2w": "T2 TSE", "t2f": "FLAIR", "t1n": "T1"}


def checkpoint(path: Path, case: Case, preprocess: Preprocess) -> Path:
    """A network with a known answer: tumour where the t1c is 2 standard deviations up."""
    stored = context(CaseSource("x", (case,)), preprocess)
    stored |= {"postprocess": Postprocess().to_dict()}
    window = {"_target_": "lightning_brats.inference.SlidingWindow", "patch_size": [24, 24, 24]}
    net = {"_target_": "torch.nn.Conv3d", "in_channels": 2, "out_channels": 3, "kernel_size": 1}
    task = SegmentationTask(net, regions=REGIONS, inference=window, context=stored)
    with torch.no_grad():
        task.net.weight.zero_()
        task.net.weight[:, 0] = 8.0
        task.net.bias.fill_(-8.0 * 2.0)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    trainer.strategy.connect(task)
    trainer.save_checkpoint(path)
    return path


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return write_nifti(tmp_path_factory.mktemp("raw") / "head").with_modalities(PAIR)


def run(output: Path, source: Path, path: Path, *more: str) -> Path:
    settings = [f"checkpoint={path}", f"input={source}", f"output={output}", "accelerator=cpu"]
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        cfg = compose("predict", [*settings, "precision=32", *more])
    return predict(cfg)


def dicom(folder: Path, modalities=PAIR, names=DESCRIPTIONS) -> Path:
    for number, modality in enumerate(modalities):
        how = CLINICAL[modality]
        data = sample(modality, how.shape, how.affine, how.moved)
        write_series(folder / f"S{number}", data, how.affine, names[modality])
    return folder


def dice(first: np.ndarray, second: np.ndarray) -> float:
    return float(2 * (first & second).sum() / (first.sum() + second.sum()))


def test_dicom_in_and_a_mask_on_the_scanner_s_grid_out(case: Case, tmp_path: Path) -> None:
    """The same scan as DICOM and as NIfTI: the mask lies on the tumour, oblique grid and all."""
    path = checkpoint(tmp_path / "a.ckpt", case, STEPS)
    run(tmp_path / "out", dicom(tmp_path / "patient"), path, "probabilities=true")
    found = nib.load(tmp_path / "out" / "patient.nii.gz")
    drawn = nib.load(case.mask)  # on the t1c, which is the centre
    assert found.shape == drawn.shape
    assert np.allclose(found.affine, drawn.affine, atol=1e-3)
    mask, true = np.asarray(found.dataobj) > 0, np.asarray(drawn.dataobj) > 0
    assert dice(mask, true) > 0.85
    # Labels are made of the probabilities that lie on the same voxels.
    soft = nib.load(tmp_path / "out" / "patient_probabilities.nii.gz").get_fdata()
    assert soft.shape == (*mask.shape, 3)
    expected = labels_from_regions(np.moveaxis(soft > 0.5, -1, 0), REGIONS)
    clear = np.abs(soft - 0.5).min(-1) > 1e-3
    assert np.array_equal(np.asarray(found.dataobj)[clear], expected[clear])


def test_lightning_s_loop_writes_the_same(case: Case, tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "a.ckpt", case, STEPS)
    run(tmp_path / "out", case.images["t1c"].path.parent, path)
    task = SegmentationTask.load_from_checkpoint(path, weights_only=True).eval()
    bare = replace(case, mask=None)
    writer = PredictionWriter(tmp_path / "trainer", Postprocess())
    loader = volume_loader([bare], lambda one: from_files(STEPS, one), 0)
    trainer = pl.Trainer(accelerator="cpu", logger=False, callbacks=[writer])
    trainer.predict(task, loader, return_predictions=False)
    first, second = (
        np.asarray(nib.load(tmp_path / folder / "head.nii.gz").dataobj)
        for folder in ("out", "trainer")
    )
    assert first.any()
    assert np.array_equal(first, second)


def test_unrecognised_series_and_how_to_name_them(case: Case, tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "a.ckpt", case, STEPS)
    source = dicom(tmp_path / "p", names=DESCRIPTIONS | {"t2w": "axial"})
    with pytest.raises(DataError, match=r"no series for t2w[\s\S]*modalities_from") as error:
        run(tmp_path / "out", source, path)
    assert "'axial' (S1" in str(error.value)
    run(tmp_path / "out", source, path, 'modalities_from={t2w: "axi*"}')
    assert (tmp_path / "out" / "p.nii.gz").exists()


def test_a_network_for_prepared_data_takes_raw_data_by_its_steps(
    case: Case, tmp_path: Path, capsys
) -> None:
    """Crop and intensities are those of training; a bad scan is said to be one."""
    path = checkpoint(tmp_path / "a.ckpt", case, Preprocess("zscore", margin=1))
    source = case.images["t1c"].path.parent
    with pytest.raises(DataError, match="preprocess=clinical"):
        run(tmp_path / "out", source, path)
    steps = ["preprocess=brats", "preprocess.spacing=3", "preprocess.raw.register=rigid"]
    run(tmp_path / "out", source, path, *steps)
    found = np.asarray(nib.load(tmp_path / "out" / "head.nii.gz").dataobj) > 0
    assert dice(found, np.asarray(nib.load(case.mask).dataobj) > 0) > 0.85
    assert "warning" not in capsys.readouterr().out
    noise = np.random.default_rng(0).normal(500, 80, (40, 40, 40)).astype(np.float32)
    copy = tmp_path / "bad" / "head"
    copy.mkdir(parents=True)
    (copy / "head_t1c.nii.gz").write_bytes(case.images["t1c"].path.read_bytes())
    nib.save(nib.Nifti1Image(noise, np.diag([2.5, 2.5, 2.5, 1])), copy / "head_t2w.nii.gz")
    run(tmp_path / "flagged", copy, path, *steps, "preprocess.brain=nonzero")
    assert "warning  head: registration of t2w to t1c is poor" in capsys.readouterr().out


def test_provided_brains_are_missed_before_anything_is_read(case: Case, tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "a.ckpt", case, replace(STEPS, brain="provided"))
    with pytest.raises(DataError, match="no brain mask") as error:
        run(tmp_path / "out", case.images["t1c"].path.parent, path)
    assert "Case head" in str(error.value)
