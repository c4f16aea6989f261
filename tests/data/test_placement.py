from collections import Counter

import numpy as np
import pytest

from lightning_brats.data.placement import patch_corner, slice_limits, tumour_slices
from lightning_brats.data.sampling import PatchRequest
from lightning_brats.errors import ConfigError

FREE = PatchRequest(subject=0, forced=False, seed=0)
FORCED = PatchRequest(subject=0, forced=True, seed=0)


def test_forced_patches_hold_a_voxel_of_each_label_equally_often() -> None:
    coordinates = {1: np.array([[5, 5, 5]]), 3: np.tile([[30, 30, 30]], (1000, 1))}
    generator = np.random.default_rng(0)
    corners = Counter(
        patch_corner((40, 40, 40), (8, 8, 8), coordinates, FORCED, generator) for _ in range(400)
    )
    assert set(corners) == {(1, 1, 1), (26, 26, 26)}
    assert 160 < corners[1, 1, 1] < 240


def test_forced_patches_stay_inside() -> None:
    generator = np.random.default_rng(0)
    corner = patch_corner(
        (40, 40, 40), (16, 16, 16), {2: np.array([[0, 39, 20]])}, FORCED, generator
    )
    assert corner == (0, 24, 12)


def test_free_patches_cover_every_position() -> None:
    generator = np.random.default_rng(0)
    corners = {patch_corner((6, 5, 4), (4, 4, 4), {}, FREE, generator) for _ in range(300)}
    assert corners == {(x, y, 0) for x in range(3) for y in range(2)}


def test_volumes_smaller_than_the_patch_lie_inside_it() -> None:
    generator = np.random.default_rng(0)
    corners = {patch_corner((6, 5, 4), (8, 5, 4), {}, FREE, generator) for _ in range(100)}
    assert corners == {(x, 0, 0) for x in (-2, -1, 0)}


def test_cases_without_tumour_are_drawn_freely() -> None:
    generator = np.random.default_rng(0)
    assert patch_corner((4, 4, 4), (4, 4, 4), {}, FORCED, generator) == (0, 0, 0)


def drawn(axis: int, foreground: dict, request: PatchRequest, size: int = 20) -> Counter:
    """Which slices along `axis` are drawn, of 300."""
    generator = np.random.default_rng(0)
    patch = tuple(1 if a == axis else 8 for a in range(3))
    found = (patch_corner((size,) * 3, patch, foreground, request, generator) for _ in range(300))
    return Counter(corner[axis] for corner in found)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_stay_in_their_range(axis: int) -> None:
    shares = PatchRequest(0, False, 0, slices=(0.25, 0.5))
    counted = PatchRequest(0, False, 0, slices=(16, 99))
    assert set(drawn(axis, {}, FREE)) == set(range(20))
    assert set(drawn(axis, {}, shares)) == set(range(5, 10))
    assert set(drawn(axis, {}, counted)) == set(range(16, 20))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_tumour_slices_are_drawn_equally_often(axis: int) -> None:
    many, one = np.full((500, 3), 4), np.full((1, 3), 11)
    found = drawn(axis, {1: many, 3: one}, PatchRequest(0, False, 0, tumour=True))
    assert set(found) == {4, 11}
    assert 110 < found[11] < 190


def test_forced_and_tumour_slices_keep_to_the_range() -> None:
    foreground = {1: np.full((5, 3), 4), 3: np.array([[11, 11, 11], [2, 2, 2]])}
    for forced in (True, False):
        request = PatchRequest(0, forced, 0, tumour=True, slices=(0.5, 1.0))
        assert set(drawn(2, foreground, request)) == {11}


def test_without_tumour_in_the_range_any_slice_of_it_is_taken() -> None:
    request = PatchRequest(0, True, 0, tumour=True, slices=(0, 3))
    assert set(drawn(2, {1: np.full((5, 3), 9)}, request)) == {0, 1, 2}


def test_tumour_slices_are_those_of_any_label() -> None:
    foreground = {1: np.array([[0, 0, 3], [0, 0, 7]]), 2: np.array([[0, 0, 5]])}
    assert tumour_slices(foreground, 2, (4, 20)).tolist() == [5, 7]
    assert tumour_slices({}, 2, (0, 20)).tolist() == []


def test_a_range_beyond_the_volume_is_refused() -> None:
    assert slice_limits(155, (22, 122)) == (22, 122)
    assert slice_limits(155, (0.1, 0.9)) == (15, 140)
    assert slice_limits(155, (0, 1)) == slice_limits(155, None) == (0, 155)
    with pytest.raises(ConfigError, match="100 slices"):
        slice_limits(100, (100, 120))
