"""Where a prediction errs, on boxes whose answers are plain."""

import numpy as np
import pytest

from lightning_brats.metrics.boundary import (
    FALSE,
    MISSED,
    BoundaryErrors,
    boundary_errors,
    confusion_matrix,
    error_map,
    error_shares,
    surface_errors,
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


def test_both_surfaces_tell_a_missed_part_and_a_false_one() -> None:
    reference, prediction = box(3, 6), box(3, 6)
    reference[0, 0, 0] = True  # its corners lie 2·√3 to 3·√3 mm from the box
    prediction[9, 4, 4] = True  # its corners lie 3 and 4 mm from the box's face
    errors = surface_errors(reference, prediction, UNIT)
    assert errors.distances.min() == pytest.approx(-3 * np.sqrt(3))
    assert errors.distances.max() == 4
    assert boundary_errors(reference, prediction, UNIT).distances.min() == 0
    mirrored = surface_errors(prediction, reference, UNIT)
    assert sorted(mirrored.distances) == sorted(-errors.distances)


def test_mean_distance_is_that_of_concentric_boxes() -> None:
    errors = surface_errors(box(4, 16), box(6, 14), UNIT)
    # Faces are 2 mm apart; corners of the outer surface up to 2 voxels beyond in each direction.
    by_hand = {round(float(np.sqrt(4 + a * a + b * b)), 6) for a in range(3) for b in range(3)}
    assert set(np.round(-errors.distances, 6)) == by_hand
    expected = -(errors.distances * errors.areas).sum() / errors.areas.sum()
    assert errors.mean_distance == pytest.approx(expected)
    assert surface_errors(box(6, 14), box(6, 14), UNIT).mean_distance == 0


def test_histogram_puts_what_is_beyond_into_the_outer_bins() -> None:
    errors = BoundaryErrors(
        np.array([-np.inf, -1.5, -0.5, 0.0, 0.5, 7.0]), np.arange(1.0, 7.0), np.zeros((6, 3))
    )
    areas = errors.histogram(np.array([-1.5, -0.5, 0.5, 1.5]))
    assert areas.tolist() == [1 + 2, 3 + 4, 5 + 6]
    nothing = BoundaryErrors(np.zeros(0), np.zeros(0), np.zeros((0, 3)))
    assert nothing.histogram(np.array([0.0, 1.0])).tolist() == [0]
    assert np.isnan(nothing.mean_distance)


def test_a_mask_without_a_partner_is_infinitely_far() -> None:
    empty = np.zeros((20, 20, 20), bool)
    assert (surface_errors(box(6, 14), empty, UNIT).distances == -np.inf).all()
    assert (surface_errors(empty, box(6, 14), UNIT).distances == np.inf).all()
    assert len(surface_errors(empty, empty, UNIT).distances) == 0
