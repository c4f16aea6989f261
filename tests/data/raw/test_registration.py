"""Known motions recovered, and failures recognised."""

import numpy as np
import pytest
from made_scans import STILL, grid, head_points, motion, sample, size

from lightning_brats.data.raw.quality import POOR
from lightning_brats.data.raw.registration import register
from lightning_brats.data.raw.scan import Scan, bring, to_matrix, to_transform

SPACING = (2.5, 2.5, 2.5)


def scan(modality: str, moved: np.ndarray = STILL, spacing=SPACING, axes=STILL) -> Scan:
    affine = grid(spacing, axes)
    return Scan(sample(modality, size(spacing), affine, moved), affine)


def error_mm(found: np.ndarray, true: np.ndarray) -> float:
    """Largest distance between where the brain's points are sent and where they belong."""
    points = np.c_[head_points(), np.ones(len(head_points()))]
    return float(np.linalg.norm((points @ found.T - points @ true.T)[:, :3], axis=1).max())


@pytest.mark.parametrize("modality", ["t1n", "t2w", "t2f"])
def test_a_known_motion_is_recovered(modality: str) -> None:
    true = motion((7, -5, 9), (4, -6, 3))
    found = register(scan("t1c"), scan(modality, true))
    assert error_mm(found.matrix, true) < 1.25  # half a voxel
    assert found.quality > POOR
    assert np.linalg.det(found.matrix[:3, :3]) == pytest.approx(1, abs=1e-6)  # rigid


def test_a_large_motion_and_thick_oblique_slices() -> None:
    true = motion((18, 12, -16), (40, -30, 60))
    thick = scan("t2f", true, (2.2, 2.2, 5.0), true @ motion((10, 5, 0), (0, 0, 0)))
    found = register(scan("t1c"), thick)
    assert error_mm(found.matrix, true) < 1.2  # a quarter of a slice


def test_a_known_scaling_is_recovered_by_an_affine_map() -> None:
    true = motion((3, -4, 2), (2, 1, -3)) @ np.diag([1.06, 0.95, 1.03, 1.0])
    found = register(scan("t1c"), scan("t1n", true), "affine")
    assert error_mm(found.matrix, true) < 0.8


def test_the_same_scans_give_the_same_matrix() -> None:
    pair = scan("t1c"), scan("t2w", motion((3, 2, 1), (1, 2, 3)))
    first, second = register(*pair), register(*pair)
    assert np.array_equal(first.matrix, second.matrix)


def test_scans_of_nothing_in_common_are_poor() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(500, 100, size(SPACING)).astype(np.float32)
    still = scan("t1c")
    assert register(still, Scan(noise, grid(SPACING))).quality < POOR
    upside_down = Scan(scan("t2f").data[:, ::-1, ::-1][::-1], grid(SPACING))
    assert register(still, upside_down).quality < POOR


@pytest.mark.parametrize("axes", [STILL, motion((20, -10, 30), (7, -8, 9))])
def test_scans_go_to_simpleitk_and_back(axes: np.ndarray) -> None:
    first = scan("t1c", spacing=(4.0, 5.0, 6.0), axes=axes)
    again = Scan.from_sitk(first.to_sitk())
    assert np.array_equal(first.data, again.data)
    assert np.allclose(first.affine, again.affine, atol=1e-9)
    index = (5, 3, 7)
    lps = first.to_sitk().TransformIndexToPhysicalPoint(index)
    assert np.allclose(np.array(lps) * [-1, -1, 1], (first.affine @ [*index, 1])[:3])


def test_matrices_go_to_simpleitk_and_back() -> None:
    matrix = motion((20, -10, 30), (7, -8, 9)) @ np.diag([1.1, 0.9, 1, 1])
    assert np.allclose(to_matrix(to_transform(matrix)), matrix)
    point = np.array([3.0, -5.0, 11.0])
    lps = to_transform(matrix).TransformPoint((point * [-1, -1, 1]).tolist())
    assert np.allclose(np.array(lps) * [-1, -1, 1], (matrix @ [*point, 1])[:3])


def test_bringing_by_whole_voxels_moves_values_unchanged() -> None:
    rng = np.random.default_rng(0)
    data = rng.normal(size=(6, 7, 8)).astype(np.float32)
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    shift = motion((0, 0, 0), (2, 3, -4))  # one voxel on each axis
    found = bring(Scan(data, affine), (6, 7, 8), affine, shift)
    assert np.allclose(found[:5, :6, 1:], data[1:, 1:, :7], atol=1e-5)
    assert not found[5].any()


def test_bringing_half_way_is_the_mean_by_hand() -> None:
    data = np.zeros((4, 4, 4), np.float32)
    data[1, 1, 1], data[2, 1, 1] = 10, 30
    found = bring(Scan(data, np.eye(4)), (4, 4, 4), np.eye(4), motion((0, 0, 0), (0.5, 0, 0)))
    assert found[1, 1, 1] == pytest.approx(20)


def test_finer_scans_are_smoothed_before_they_are_thinned_out() -> None:
    """A pattern too fine for the wanted grid becomes its mean, not a false coarse pattern."""
    fine = np.zeros((48, 48, 48), np.float32)
    fine[::3] = 3.0  # mean 1
    found = bring(Scan(fine, np.eye(4)), (11, 11, 11), np.diag([4.0, 4, 4, 1]), np.eye(4))
    assert np.abs(found[2:-2, 2:-2, 2:-2] - 1).max() < 0.15
