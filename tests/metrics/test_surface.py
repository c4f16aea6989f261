"""Distances by hand, and against scipy's distance transform and MONAI where definitions meet."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics import compute_hausdorff_distance
from scipy import ndimage

from lightning_brats.metrics import score_case
from lightning_brats.metrics.surface import SurfaceDistances, nearest, weighted_percentile
from lightning_brats.metrics.surfels import Surface, surfels


def mask(shape, *voxels) -> np.ndarray:
    out = np.zeros(shape, np.uint8)
    for voxel in voxels:
        out[voxel] = 3
    return out


def hd95(a, b, spacing=(1.0, 1.0, 1.0)) -> float:
    return score_case(a, b, spacing, regions=["ET"])["ET"]["hd95"]


def test_weighted_percentile_takes_the_first_value_that_reaches_the_share() -> None:
    values, weights = np.array([3.0, 1.0, 2.0]), np.array([5.0, 90.0, 5.0])
    assert weighted_percentile(values, weights, 0.90) == 1
    assert weighted_percentile(values, weights, 0.95) == 2
    assert weighted_percentile(values, weights, 0.951) == 3


@pytest.mark.parametrize(
    ("spacing", "expected"),
    [((1.0, 1.0, 1.0), 3), ((2.0, 1.0, 1.0), 6), ((0.5, 4.0, 4.0), 1.5)],
)
def test_two_voxels(spacing, expected) -> None:
    # All eight surfels of one voxel weigh the same; the farther four make it 3 steps, not 2.
    a, b = mask((8, 3, 3), (1, 1, 1)), mask((8, 3, 3), (4, 1, 1))
    assert hd95(a, b, spacing) == pytest.approx(expected)
    assert hd95(b, a, spacing) == pytest.approx(expected)


def test_far_voxels_and_a_diagonal() -> None:
    a, b = mask((90, 40, 40), (2, 3, 4)), mask((90, 40, 40), (82, 33, 34))
    assert hd95(a, b) == pytest.approx(math.sqrt(80**2 + 30**2 + 30**2))


def test_a_small_far_part_is_forgiven_and_a_larger_one_is_not() -> None:
    a = mask((60, 24, 24), (slice(2, 22), slice(2, 22), slice(2, 22)))
    b = a.copy()
    b[50, 12, 12] = 3
    assert hd95(a, b) == 0
    b[46:52, 8:14, 8:14] = 3
    assert hd95(a, b) > 20


def test_a_shifted_cube_surface_dice() -> None:
    a = mask((20, 20, 20), (slice(4, 12), slice(4, 12), slice(4, 12)))
    scores = score_case(a, np.roll(a, 1, 0), (0.8, 0.8, 0.8), regions=["ET"])["ET"]
    assert scores["nsd_1.0"] == 1  # everything is within one voxel of 0.8 mm
    near = SurfaceDistances.between(
        surfels(a, (0.8,) * 3), surfels(np.roll(a, 1, 0), (0.8,) * 3), (0.8,) * 3
    )
    weights = near.reference.weights
    coincide = weights[near.forward[0] == 0].sum() / weights.sum()
    assert scores["nsd_0.5"] == pytest.approx(coincide)
    assert 0.4 < coincide < 0.7


def test_hd95_of_a_scaled_grid_scales() -> None:
    rng = np.random.default_rng(3)
    a, b = (ndimage.gaussian_filter(rng.random((16, 14, 12)), 2) > 0.5 for _ in range(2))
    a, b = 3 * a.astype(np.uint8), 3 * b.astype(np.uint8)
    assert hd95(a, b, (2.5, 2.5, 2.5)) == pytest.approx(2.5 * hd95(a, b))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_nearest_agrees_with_the_distance_transform(seed) -> None:
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 40, 3)
    spacing = tuple(float(s) for s in rng.choice([0.3, 1.0, 1.2, 5.0], 3))
    points, targets = (np.argwhere(rng.random(shape) < share) for share in (0.1, 0.003))
    expected = np.full(len(points), np.inf)
    if len(targets):
        grid = np.ones(shape, bool)
        grid[tuple(targets.T)] = False
        expected = ndimage.distance_transform_edt(grid, spacing)[tuple(points.T)]
    surface = Surface(targets, np.ones(len(targets)), np.arange(1, len(targets) + 1))
    distances, labels = nearest(points, surface, spacing)
    assert distances == pytest.approx(expected)
    if len(targets):
        away = (points - targets[labels - 1]) * spacing
        assert np.sqrt((away**2).sum(1)) == pytest.approx(expected)
    close, _ = nearest(points, surface, spacing, limit=1.0)
    assert close[expected <= 1] == pytest.approx(expected[expected <= 1])
    assert (close[expected > 1] > 1).all()


@pytest.mark.parametrize("shift", [1, 2, 5])
def test_plates_agree_with_monai(shift) -> None:
    """Parallel plates are equally far by surfels and by border voxels."""
    a = mask((20, 30, 30), (slice(3, 5), slice(None), slice(None)))
    b = np.roll(a, shift, 0)
    one_hot = [np.array(v > 0, np.float32)[None, None] for v in (a, b)]
    theirs = compute_hausdorff_distance(
        *one_hot, include_background=True, percentile=95, spacing=[1.0, 1.0, 1.0]
    )
    assert hd95(a, b) == pytest.approx(float(theirs)) == shift
