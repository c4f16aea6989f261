"""Where a prediction errs, on boxes whose answers are plain."""

import numpy as np
import pytest

from lightning_brats.metrics.boundary import (
    FALSE,
    MISSED,
    boundary_errors,
    confusion_matrix,
    error_map,
    error_shares,
)

UNIT = (1.0, 1.0, 1.0)


def box(low: int, high: int) -> np.ndarray:
    out = np.zeros((20, 20, 20), bool)
    out[low:high, low:high, low:high] = True
    return out


def test_a_larger_prediction_lies_outside() -> None:
    errors = boundary_errors(box(6, 14), box(4, 16), UNIT)
    assert errors.distances.min() == 2
    assert errors.percentile(0.5) == 2
    assert (errors.share_within(1), errors.share_within(4)) == (0, 1)


def test_a_smaller_prediction_lies_inside() -> None:
    errors = boundary_errors(box(4, 16), box(6, 14), (1.0, 1.0, 0.5))
    # Faces along x and y stay 2 mm inside, those along z 1 mm (2 voxels).
    assert set(errors.distances) == {-1.0, -1.5, -2.0}
    assert errors.percentile(0.25) == -2


def test_the_same_mask_has_no_error_and_known_corners() -> None:
    errors = boundary_errors(box(6, 14), box(6, 14), UNIT)
    assert not errors.distances.any()
    assert (errors.points.min(), errors.points.max()) == (6, 14)
    assert errors.share_within(0) == 1


def test_empty_masks() -> None:
    empty = np.zeros((20, 20, 20), bool)
    assert np.isinf(boundary_errors(empty, box(6, 14), UNIT).distances).all()
    nothing = boundary_errors(box(6, 14), empty, UNIT)
    assert len(nothing.distances) == 0
    assert np.isnan([nothing.percentile(0.5), nothing.share_within(1)]).all()


def test_error_map_and_shares() -> None:
    reference = np.array([3, 3, 1, 0, 2, 0], np.uint8).reshape(6, 1, 1)
    prediction = np.array([3, 1, 3, 3, 0, 0], np.uint8).reshape(6, 1, 1)
    errors = error_map(reference, prediction, ["WT", "ET"])
    assert errors[:, :, 0, 0].tolist() == [
        [0, 0, 0, FALSE, MISSED, 0],
        [0, MISSED, FALSE, FALSE, 0, 0],
    ]
    shares = error_shares(reference, prediction, ["WT", "ET", "RC"])
    assert shares["WT"] == {"missed": 1 / 5, "false": 1 / 5}
    assert shares["ET"] == {"missed": 1 / 4, "false": 2 / 4}
    assert shares["RC"] == {"missed": 0, "false": 0}


def test_confusion_matrix_counts_by_reference_and_prediction() -> None:
    reference = np.array([0, 0, 1, 2, 3, 3, 4], np.uint8).reshape(1, 7, 1)
    prediction = np.array([0, 3, 1, 1, 3, 0, 4], np.uint8).reshape(1, 7, 1)
    matrix = confusion_matrix(reference, prediction)
    expected = np.zeros((5, 5), int)
    for pair in ((0, 0), (0, 3), (1, 1), (2, 1), (3, 3), (3, 0), (4, 4)):
        expected[pair] += 1
    assert matrix.tolist() == expected.tolist()
    assert matrix.sum() == pytest.approx(7)
