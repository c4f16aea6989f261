"""Fusion of label maps against votes counted by hand, and STAPLE's own equations."""

from __future__ import annotations

import numpy as np
import pytest

from lightning_brats.errors import DataError
from lightning_brats.inference import majority_vote, staple

REGIONS = ("WT", "TC", "ET")


def column(*labels: int) -> np.ndarray:
    return np.array(labels, np.uint8)[:, None, None]


def test_majority_vote_by_hand() -> None:
    maps = [
        column(3, 3, 3, 1, 0, 2),
        column(3, 1, 2, 2, 0, 0),
        column(3, 3, 0, 1, 2, 1),
    ]
    # Third voxel: whole tumour 2 of 3, core 1 of 3; the last: whole tumour 2, core 1.
    assert majority_vote(maps, REGIONS).ravel().tolist() == [3, 3, 2, 1, 0, 2]


def test_half_of_the_votes_is_no_majority() -> None:
    # Core and whole tumour have both votes, enhancing tumour one of two.
    assert majority_vote([column(3, 3, 0), column(1, 0, 0)], REGIONS).ravel().tolist() == [1, 0, 0]


@pytest.mark.parametrize("fuse", [majority_vote, staple])
def test_fusing_equal_maps_changes_nothing(fuse: object) -> None:
    labels = np.random.default_rng(0).integers(0, 5, (6, 7, 8)).astype(np.uint8)
    regions = (*REGIONS, "RC")
    assert np.array_equal(fuse([labels], regions), labels)
    assert np.array_equal(fuse([labels] * 4, regions), labels)
    empty = np.zeros((4, 4, 4), np.uint8)
    assert not fuse([empty, empty], regions).any()


def staple_equations(masks: np.ndarray, rounds: int = 200) -> np.ndarray:
    """Expectation maximisation of Warfield, Zou and Wells (2004), equations 14, 18 and 19."""
    decisions = masks.reshape(len(masks), -1).astype(float)
    prior = decisions.mean()
    sensitivity = specificity = np.full((len(masks), 1), 0.99999)
    for _ in range(rounds):
        a = prior * np.where(decisions, sensitivity, 1 - sensitivity).prod(0)
        b = (1 - prior) * np.where(decisions, 1 - specificity, specificity).prod(0)
        weight = a / (a + b)
        sensitivity = (decisions @ weight / weight.sum())[:, None]
        specificity = ((1 - decisions) @ (1 - weight) / (1 - weight).sum())[:, None]
    return weight.reshape(masks.shape[1:]) > 0.5


def test_staple_follows_its_equations_and_trusts_reliable_maps() -> None:
    rng = np.random.default_rng(0)
    truth = np.zeros((12, 12, 12), bool)
    truth[2:10, 3:9, 2:10] = True
    rates = (0.02, 0.03, 0.35, 0.4, 0.4)
    masks = np.stack([truth ^ (rng.random(truth.shape) < rate) for rate in rates])
    masks[:, 0, 0, 0] = masks[:, -1, -1, -1] = True  # the bounding box is the whole volume
    fused = staple([mask.astype(np.uint8) * 2 for mask in masks], ["WT"]) == 2
    assert np.array_equal(fused, staple_equations(masks))
    vote = masks.sum(0) >= 3
    assert (fused != truth).sum() < (vote != truth).sum()


def test_maps_on_different_grids_cannot_be_fused() -> None:
    with pytest.raises(DataError, match="shapes"):
        majority_vote([column(1, 2), column(1, 2, 3)], REGIONS)
    with pytest.raises(DataError, match="shapes"):
        staple([], REGIONS)
