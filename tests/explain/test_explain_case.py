"""Modalities by hand, and everything that the command writes."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_module
from saliency_samples import Weighted, make_model, unet
from test_prediction import checkpoint, write_brats

from lightning_brats.data.preprocess import Preprocess
from lightning_brats.explain import explain_case, write_explanation
from lightning_brats.explain.command import explain
from lightning_brats.explain.writing import verdict
from lightning_brats.labels import region_masks

pytest.importorskip("captum")


def test_contributions_by_hand(tmp_path: Path) -> None:
    """WT is where T1 is above 0.5, TC and ET where T1 with contrast is above 1."""
    weights = [[10.0, 0, 0, 0], [0, 10.0, 0, 0], [0, 10.0, 0, 0]]
    model, case = make_model(tmp_path, Weighted(weights, [-5.0, -10.0, -10.0]))
    found = explain_case(model, case, "ET", steps=2)
    prepared = Preprocess()(case, Preprocess().read(case))
    t1, t1c = prepared.image[0].astype(np.float32), prepared.image[1].astype(np.float32)
    masks = {"WT": t1 > 0.5, "TC": t1c > 1, "ET": t1c > 1}
    masks["WT"] = masks["WT"] | masks["ET"]  # composing puts ET into WT
    table = found.contributions.set_index(["modality", "region"])
    assert len(table) == 4 * 3
    for region, mask in masks.items():
        truth = region_masks(prepared.mask, [region])[0]
        dice = 2 * (truth & mask).sum() / (truth.sum() + mask.sum())
        row = table.loc["t2w", region]  # which no region depends on
        assert row["volume_ml"] == row["volume_ml_without"] == pytest.approx(mask.sum() / 1000)
        assert row["dice_with_all"] == 1
        assert row["dice"] == row["dice_without"] == pytest.approx(dice)
        assert row["probability"] == pytest.approx(row["probability_without"])
    gone = table.loc["t1c", "ET"]
    assert gone["volume_ml_without"] == 0
    assert gone["dice_with_all"] == gone["dice_without"] == 0
    brain = (prepared.image != 0).any(0)
    p = 1 / (1 + np.exp(10.0 - 10 * t1c[brain].mean()))
    assert gone["probability_without"] == pytest.approx(p, rel=1e-3)
    expected = (1 / (1 + np.exp(-(10 * t1c[masks["ET"]] - 10)))).mean()
    assert gone["probability"] == pytest.approx(expected, rel=1e-3)
    assert "ET depends most on T1 with contrast" in verdict(found.contributions, "ET")


def test_a_region_that_was_not_found_is_explained_where_it_is_likeliest(tmp_path: Path) -> None:
    weights = [[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 1.0, 0, 0]]
    model, case = make_model(tmp_path, Weighted(weights, [-50.0, -50.0, -50.0]))
    found = explain_case(model, case, "ET", steps=2)
    assert any("No ET was found" in note for note in found.notes)
    t1c = found.image[1]
    assert found.inside[np.unravel_index(t1c.argmax(), t1c.shape)]
    assert found.inside.mean() < 0.01
    page = write_explanation(found, tmp_path).read_text()
    assert "likeliest place: none was found" in page
    assert verdict(found.contributions, "ET") == (
        "No single modality changes ET when it is taken away."
    )


def test_maps_lie_on_the_file_s_grid(tmp_path: Path) -> None:
    model, case = make_model(tmp_path, unet(2))
    found = explain_case(model, case, "WT", steps=4)
    (tmp_path / "out").mkdir()
    page = write_explanation(found, tmp_path / "out")
    source = nib.load(case.images["t1c"].path)
    names = {*found.maps}
    assert names == {
        "attention_gate_1",
        "attention_gate_2",
        "grad_cam",
        "integrated_gradients",
        *(f"integrated_gradients_{modality}" for modality in model.modalities),
    }
    for name in names:
        saved = nib.load(tmp_path / "out" / f"{case.case}_{name}.nii.gz")
        assert saved.shape == source.shape
        assert np.allclose(saved.affine, source.affine)
        assert np.allclose(saved.get_fdata(), found.on_file_grid(name), atol=1e-6)
        assert np.abs(saved.get_fdata()).max() > 0
    parts = sum(found.maps[f"integrated_gradients_{m}"] for m in model.modalities)
    assert np.allclose(parts, found.maps["integrated_gradients"], atol=1e-5)
    text = page.read_text()
    assert "For research only." in text
    assert "The slices with most of the WT that was found." in text
    assert "http" not in text.replace("http-equiv", "")


@pytest.mark.parametrize("options", [{}, {"neighbours": 1, "axes": ["axial", "coronal"]}])
def test_slices_are_explained_too(tmp_path: Path, options: dict) -> None:
    channels = 4 * (2 * options.get("neighbours", 0) + 1)
    torch.manual_seed(0)
    net = Weighted(torch.randn(3, channels).tolist(), [0.0, 0.0, 0.0], dims=2)
    model, case = make_model(tmp_path, net, patch=(16, 16, 1), **options)
    found = explain_case(model, case, "WT", steps=2)
    shares = found.maps["integrated_gradients"]
    assert (np.abs(shares).sum((0, 1)) > 0).sum() == 1  # one slice
    assert found.inside.any()
    assert any("no attention gates" in note for note in found.notes)


def test_the_command_explains_every_case(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    data = write_brats(tmp_path / "data", 2)
    path, output = checkpoint(tmp_path / "m" / "a.ckpt", 1), tmp_path / "out"
    settings = [f"checkpoint={path}", f"input={data}", f"output={output}", "region=TC", "steps=2"]
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        explain(compose("explain", [*settings, "sanity=true"]))
    printed = capsys.readouterr().out
    assert "explaining TC of 2 cases" in printed
    assert "rank correlation" in printed
    for number in range(2):
        table = pd.read_csv(output / f"BraTS2021_{number:05}_modalities.csv")
        assert set(table["modality"]) == {"t1n", "t1c", "t2w", "t2f"}
        assert (output / f"BraTS2021_{number:05}.html").is_file()
        assert (output / f"BraTS2021_{number:05}_maps.png").is_file()
