"""Voxel counts by hand, every empty case, and invariances."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from monai.metrics import compute_dice, compute_iou

from lightning_brats.metrics import METRICS, score_case

SHARES = ("dice", "iou", "sensitivity", "specificity", "precision", "accuracy")
masks = arrays(np.uint8, (4, 3, 5), elements=st.sampled_from([0, 0, 0, 3]))


def et(reference, prediction, spacing=None):
    return score_case(reference, prediction, spacing, regions=["ET"])["ET"]


def line(*labels: int) -> np.ndarray:
    return np.array(labels, np.uint8).reshape(-1, 1, 1)


def test_ten_voxels_by_hand() -> None:
    # TP 2, FN 1, FP 2, TN 5
    scores = et(line(3, 3, 3, 0, 0, 0, 0, 0, 0, 0), line(0, 3, 3, 3, 3, 0, 0, 0, 0, 0), (1, 2, 3))
    expected = {
        "dice": 4 / 7,
        "iou": 2 / 5,
        "sensitivity": 2 / 3,
        "specificity": 5 / 7,
        "precision": 2 / 4,
        "accuracy": 7 / 10,
        "volume_error": 100 / 3,
        "volume_error_abs": 100 / 3,
        "volume_reference": 18,
        "volume_prediction": 24,
    }
    assert {name: scores[name] for name in expected} == pytest.approx(expected)


def test_background_far_away_counts_for_specificity_and_accuracy() -> None:
    reference, prediction = np.zeros((2, 50, 40, 30), np.uint8)
    reference[20, 20, 20] = 3
    prediction[20, 20, 20:22] = 3
    scores = et(reference, prediction)
    assert scores["specificity"] == pytest.approx(59998 / 59999)
    assert scores["accuracy"] == pytest.approx(59999 / 60000)


def test_undersegmentation_has_a_negative_volume_error() -> None:
    scores = et(line(3, 3, 3, 3), line(3, 0, 0, 0))
    assert (scores["volume_error"], scores["volume_error_abs"]) == (-75, 75)


@pytest.mark.parametrize(
    ("reference", "prediction", "expected"),
    [
        (
            line(0, 0, 0, 0),
            line(0, 0, 0, 0),
            {"dice": 1, "iou": 1, "sensitivity": 1, "precision": 1, "specificity": 1, "accuracy": 1}
            | {"hd95": 0, "nsd_0.5": 1, "nsd_1.0": 1, "volume_error": 0, "volume_error_abs": 0},
        ),
        (
            line(0, 0, 0, 0),
            line(3, 0, 0, 0),
            {"dice": 0, "iou": 0, "sensitivity": 0, "precision": 0, "specificity": 0.75}
            | {"hd95": math.inf, "nsd_0.5": 0, "nsd_1.0": 0, "volume_error": math.inf},
        ),
        (
            line(3, 0, 0, 0),
            line(0, 0, 0, 0),
            {"dice": 0, "iou": 0, "sensitivity": 0, "precision": 0, "specificity": 1}
            | {"hd95": math.inf, "nsd_0.5": 0, "nsd_1.0": 0, "volume_error": -100},
        ),
        (
            line(3, 3, 3, 3),
            line(3, 3, 3, 3),
            {"dice": 1, "sensitivity": 1, "specificity": 1, "accuracy": 1, "hd95": 0},
        ),
    ],
    ids=["both empty", "reference empty", "prediction empty", "no background"],
)
def test_empty_and_full_masks(reference, prediction, expected) -> None:
    scores = et(reference, prediction)
    assert {name: scores[name] for name in expected} == expected


def test_the_table_declares_what_is_scored() -> None:
    empty, full = line(0, 0, 0), line(3, 0, 0)
    for reference, prediction in ((empty, empty), (empty, full), (full, empty)):
        for name, value in et(reference, prediction).items():
            declared = METRICS[name].where_empty(reference.any(), prediction.any())
            assert math.isnan(declared) or value == declared


def test_directions_and_one_empty() -> None:
    assert METRICS["dice"].higher_is_better
    assert METRICS["hd95"].higher_is_better is False
    assert METRICS["volume_error"].higher_is_better is None
    assert (METRICS["dice"].one_empty, METRICS["hd95"].one_empty) == (0, math.inf)


@given(masks, masks)
@settings(max_examples=60, deadline=None)
def test_swapping_swaps_sensitivity_and_precision(a, b) -> None:
    one, two = et(a, b), et(b, a)
    for name in ("dice", "iou", "accuracy", "hd95", "nsd_0.5", "nsd_1.0"):
        assert one[name] == pytest.approx(two[name])
    assert one["sensitivity"] == two["precision"]
    assert one["volume_reference"] == two["volume_prediction"]


@given(masks, masks)
@settings(max_examples=60, deadline=None)
def test_ranges_and_identities(a, b) -> None:
    scores = et(a, b)
    assert all(0 <= scores[name] <= 1 for name in SHARES)
    assert scores["dice"] == pytest.approx(2 * scores["iou"] / (1 + scores["iou"]))
    assert scores["dice"] >= scores["iou"]
    assert scores["hd95"] >= 0
    assert et(a, a)["dice"] == 1
    assert et(a, a)["hd95"] == 0


@given(masks, masks, st.permutations(range(3)), st.integers(0, 2))
@settings(max_examples=40, deadline=None)
def test_scores_do_not_depend_on_orientation_or_surroundings(a, b, order, axis) -> None:
    spacing = (1.0, 1.5, 2.0)
    base = et(a, b, spacing)

    def turned(volume):
        wide = np.pad(np.flip(np.transpose(volume, order), axis), 2)
        return np.asfortranarray(wide)

    other = et(turned(a), turned(b), tuple(spacing[i] for i in order))
    for name in ("dice", "hd95", "nsd_0.5", "nsd_1.0", "sensitivity", "precision"):
        assert other[name] == pytest.approx(base[name])


@given(masks)
@settings(max_examples=30, deadline=None)
def test_losing_voxels_never_raises_dice(a) -> None:
    found, last = a.copy(), 1.0
    for voxel in np.argwhere(a):
        found[tuple(voxel)] = 0
        dice = et(a, found)["dice"]
        assert dice < last
        last = dice


@given(masks, masks)
@settings(max_examples=30, deadline=None)
def test_dice_and_iou_are_monai_s(a, b) -> None:
    first, second = (torch.from_numpy(m == 3)[None, None].float() for m in (a, b))
    scores = et(a, b)
    if a.any():  # MONAI leaves Dice without a reference undefined
        assert scores["dice"] == pytest.approx(compute_dice(second, first).item(), abs=1e-6)
        assert scores["iou"] == pytest.approx(compute_iou(second, first).item(), abs=1e-6)
