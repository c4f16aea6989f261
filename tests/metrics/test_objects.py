"""Dilation, components and their numbering, against scipy."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from lightning_brats.metrics import volumes
from lightning_brats.metrics.objects import components, connected, dilate, dilated
from lightning_brats.metrics.volumes import label_pair

BALL = ndimage.generate_binary_structure(3, 2)
seeds = st.integers(0, 2**32 - 1)


def random_mask(seed: int, share: float = 0.02) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.random(rng.integers(1, 24, 3)) < share


@given(seeds, st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_dilation_is_scipy_s(seed, times) -> None:
    mask = random_mask(seed)
    expected = ndimage.binary_dilation(mask, BALL, times) if times else mask
    assert np.array_equal(dilate(mask, times), expected)


@given(seeds)
@settings(max_examples=40, deadline=None)
def test_components_are_numbered_in_raster_order(seed) -> None:
    mask = random_mask(seed, 0.1)
    assert np.array_equal(components(mask), ndimage.label(mask, np.ones((3, 3, 3)))[0])


@given(seeds, st.sampled_from([0, 1, 3, 5]))
@settings(max_examples=40, deadline=None)
def test_crops_change_nothing(seed, dilations) -> None:
    """Objects found crop by crop are those of the whole volume, with the same numbers."""
    rng = np.random.default_rng(seed)
    volume = (3 * (rng.random((90, 50, 40)) < 2e-4)).astype(np.uint8)
    cost, volumes.BOX_COST = volumes.BOX_COST, -(10**9)  # crops wherever there can be any
    try:
        case = label_pair(volume, np.zeros_like(volume), None)
    finally:
        volumes.BOX_COST = cost
    found, _ = dilated(case.masks("ET")[0], dilations, case.crops, case.shape)
    whole = np.zeros(volume.shape, int)
    for labels, crop in zip(found.labels, case.crops, strict=True):
        box = tuple(slice(o, o + n) for o, n in zip(crop.origin, labels.shape, strict=True))
        assert not (whole[box] * (labels != 0)).any()
        whole[box] += labels
    grown = ndimage.binary_dilation(volume > 0, BALL, dilations) if dilations else volume > 0
    expected, count = ndimage.label(grown, np.ones((3, 3, 3)))
    assert np.array_equal(whole, expected * (volume > 0))
    assert found.count == count


def test_a_scattered_case_is_cut_into_crops() -> None:
    volume = np.zeros((240, 240, 155), np.uint8)
    for corner in ((10, 10, 10), (200, 30, 100), (100, 200, 60)):
        volume[tuple(slice(c, c + 9) for c in corner)] = 3
    case = label_pair(volume, volume, None)
    assert len(case.crops) == 3
    assert sum(crop.reference.size for crop in case.crops) < volume.size / 50
    assert sum(int((crop.reference > 0).sum()) for crop in case.crops) == 3 * 9**3


def test_renumbering_merges_and_removes() -> None:
    mask = np.zeros((1, 1, 9), np.uint8)
    mask[0, 0, [0, 3, 4, 8]] = 3
    case = label_pair(mask, mask, None)
    found = connected(case.masks("ET")[0], case.crops, case.shape)
    assert found.sizes().tolist() == [0, 1, 2, 1]
    assert found.renumber(np.array([0, 2, 1, 2])).sizes().tolist() == [0, 2, 2]
    assert found.without_small(1).sizes().tolist() == [0, 2]
