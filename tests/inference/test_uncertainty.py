"""Uncertainty measures against values worked out by hand, and against sampling."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lightning_brats.errors import DataError
from lightning_brats.inference import entropy, mutual_information, predicted_dice


def volume(*values: float) -> torch.Tensor:
    return torch.tensor(values)[:, None, None]


def test_entropy_of_regions() -> None:
    h = entropy(torch.stack([volume(0, 0.5, 1), volume(0.25, 0.9, 0.1)]), "regions")
    assert h.shape == (2, 3, 1, 1)
    assert h[0].ravel().tolist() == pytest.approx([0, 1, 0])
    # -(1/4) log2 (1/4) - (3/4) log2 (3/4) = 0.811278; of 0.9 it is 0.468996
    assert h[1].ravel().tolist() == pytest.approx([0.811278, 0.468996, 0.468996], abs=1e-5)


def test_entropy_of_labels() -> None:
    p = torch.stack(
        [volume(0.25, 1, 0.5), volume(0.25, 0, 0.5), volume(0.25, 0, 0), volume(0.25, 0, 0)]
    )
    assert entropy(p, "labels").ravel().tolist() == pytest.approx([1, 0, 0.5])


def test_mutual_information_is_disagreement() -> None:
    sure_of_opposites = [volume(0.0)[None], volume(1.0)[None]]
    both_unsure = [volume(0.5)[None], volume(0.5)[None]]
    assert mutual_information(sure_of_opposites, "regions").item() == pytest.approx(1)
    assert mutual_information(both_unsure, "regions").item() == pytest.approx(0, abs=1e-6)
    # H(0.5) - H(0.25) = 1 - 0.811278
    members = (p[None] for p in (volume(0.25), volume(0.75)))
    assert mutual_information(members, "regions").item() == pytest.approx(0.188722, abs=1e-5)
    one_hot = torch.eye(4)[..., None, None, None]
    assert mutual_information(one_hot, "labels").item() == pytest.approx(1)
    with pytest.raises(DataError):
        mutual_information([], "regions")


def test_mutual_information_leaves_its_input_alone() -> None:
    members = [torch.rand(2, 3, 3, 3), torch.rand(2, 3, 3, 3)]
    before = [m.clone() for m in members]
    mutual_information(members, "regions")
    assert all(torch.equal(a, b) for a, b in zip(before, members, strict=True))


def test_predicted_dice_by_hand() -> None:
    p = volume(0.9, 0.8, 0.3, 0.0)[None]
    # 2 · 1.7 / (2.0 + 2)
    assert predicted_dice(p, "regions", ["WT"])["WT"] == pytest.approx(0.85)
    assert predicted_dice(p, "regions", ["WT"], threshold=0.2)["WT"] == pytest.approx(0.8)
    nothing = volume(0.0, 0.1, 0.4)[None]
    assert predicted_dice(nothing, "regions", ["ET"])["ET"] == pytest.approx(0.6)
    assert predicted_dice(volume(1.0, 0.0)[None], "regions", ["ET"])["ET"] == pytest.approx(1)


def test_predicted_dice_is_the_dice_that_calibrated_references_have() -> None:
    rng = np.random.default_rng(0)
    p = rng.beta(0.4, 0.6, (3, 20, 20, 20))
    mask = p > 0.5
    samples = rng.random((50, *p.shape)) < p
    axes = (2, 3, 4)
    dice = 2 * (samples & mask).sum(axes) / (samples.sum(axes) + mask.sum((1, 2, 3)))
    found = predicted_dice(torch.tensor(p), "regions", ["WT", "TC", "ET"])
    assert list(found.values()) == pytest.approx(dice.mean(0).tolist(), abs=3e-3)


def test_predicted_dice_of_labels_sums_them_into_regions() -> None:
    p = torch.stack([volume(0.1, 0.7), volume(0.2, 0.1), volume(0.3, 0.1), volume(0.4, 0.1)])
    found = predicted_dice(p, "labels", ["WT", "TC", "ET"])
    # Whole tumour 0.9, 0.3; core 0.6, 0.2; enhancing 0.4, 0.1 (nothing above a half).
    assert found["WT"] == pytest.approx(2 * 0.9 / 2.2)
    assert found["TC"] == pytest.approx(2 * 0.6 / 1.8)
    assert found["ET"] == pytest.approx(0.6)
