"""Varied tumours: nested regions, volumes as asked, inside the brain. Counts are by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from synthesis_parts import ISOTROPIC, ball, tumour

from lightning_brats.labels import BACKGROUND, ET, NETC, RC, REGIONS, SNFH
from lightning_brats.synthesis.variation import Ground, mirrored, place, rescaled, tight


def count(labels: np.ndarray, region: str) -> int:
    return int(np.isin(labels, REGIONS[region]).sum())


@pytest.mark.parametrize("factor", [0.4, 0.8, 1.5, 2.5])
def test_every_region_gets_the_share_of_its_volume_that_is_asked_for(factor: float) -> None:
    before = tumour()
    after = rescaled(before, factor, ISOTROPIC, np.random.default_rng(0))
    for region in ("WT", "TC", "NETC", "RC"):
        assert count(after, region) == round(factor * count(before, region))
    assert count(after, "ET") == count(after, "TC") - count(after, "NETC")


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_nested_ball_stays_one(factor: float) -> None:
    before = np.zeros((41, 41, 41), np.uint8)
    for label, radius in ((SNFH, 10), (ET, 6), (NETC, 3)):
        before[ball(radius)] = label
    after = rescaled(before, factor, ISOTROPIC, np.random.default_rng(0))
    middle = (np.array(after.shape) - 1) / 2
    distance = np.sqrt(((np.indices(after.shape) - middle[:, None, None, None]) ** 2).sum(0))
    for label, radius in ((SNFH, 10), (ET, 6), (NETC, 3)):
        assert distance[after == label].max() <= np.cbrt(factor) * radius + 1
    # The necrosis touches nothing but enhancing tumour, which touches nothing but the two others.
    around = ndimage.binary_dilation(after == NETC) & (after != NETC)
    assert set(np.unique(after[around])) == {ET}
    around = (
        ndimage.binary_dilation(np.isin(after, REGIONS["TC"])) & (after != NETC) & (after != ET)
    )
    assert set(np.unique(after[around])) == {SNFH}


def test_growing_counts_millimetres_not_voxels() -> None:
    before = np.zeros((30, 30, 30), np.uint8)
    before[12:18, 12:18, 14:16] = SNFH
    thick = rescaled(before, 2.0, (1.0, 1.0, 5.0), np.random.default_rng(0))
    assert thick.shape[2] == 2  # the next slice is 5 mm away, the next voxel beside it 1 mm
    assert thick.shape[0] > 6


def test_a_tumour_without_core_or_without_oedema() -> None:
    swelling = np.where(ball(5), SNFH, 0).astype(np.uint8)
    assert set(np.unique(rescaled(swelling, 1.5, ISOTROPIC, np.random.default_rng(0)))) <= {0, SNFH}
    solid = np.where(ball(5), NETC, 0).astype(np.uint8)
    grown = rescaled(solid, 1.5, ISOTROPIC, np.random.default_rng(0))
    assert set(np.unique(grown)) <= {0, NETC}
    assert (grown == NETC).sum() == round(1.5 * ball(5).sum())


def test_the_same_seed_gives_the_same_tumour() -> None:
    one, two, other = (
        rescaled(tumour(), 1.3, ISOTROPIC, np.random.default_rng(s)) for s in (1, 1, 2)
    )
    assert np.array_equal(one, two)
    assert one.shape != other.shape or not np.array_equal(one, other)


def test_mirroring_exchanges_left_and_right() -> None:
    labels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    assert mirrored(labels)[0].tolist() == labels[1].tolist()
    assert np.array_equal(mirrored(mirrored(labels)), labels)


def head(size: int = 60) -> Ground:
    """A ball of a brain with a ventricle in its middle."""
    brain, fluid = ball(26, size), ball(6, size)
    allowed = brain & ~fluid
    return Ground(allowed, np.where(allowed, 0.0, 1.0))


@pytest.mark.parametrize("seed", range(8))
def test_a_placed_tumour_lies_in_the_brain_and_not_in_its_ventricle(seed: int) -> None:
    ground, box = head(), tight(tumour())
    found = place(box, ground, ISOTROPIC, np.random.default_rng(seed))
    assert found is not None
    assert not found.labels[~ground.allowed].any()
    assert found.kept >= 0.7
    there = tuple(slice(c, c + n) for c, n in zip(found.corner, box.shape, strict=True))
    inside = ground.allowed[there]
    assert np.array_equal(found.labels[there][inside], box[inside])
    assert (found.labels > 0).sum() == round(found.kept * (box > 0).sum())


def test_places_vary_and_the_seed_decides() -> None:
    box = tight(tumour())
    corners = [place(box, head(), ISOTROPIC, np.random.default_rng(s)) for s in (0, 0, 1, 2, 3)]
    found = [placed.corner for placed in corners if placed is not None]
    assert len(found) == 5
    assert found[0] == found[1]
    assert len(set(found)) > 2


def test_no_place_is_said() -> None:
    small = Ground(ball(8, 60), np.where(ball(8, 60), 0.0, 1.0))
    assert place(tight(tumour()), small, ISOTROPIC, np.random.default_rng(0)) is None
    nowhere = Ground(np.zeros((9, 9, 9), bool), np.ones((9, 9, 9)))
    assert place(tight(tumour()), nowhere, ISOTROPIC, np.random.default_rng(0)) is None


def test_grey_matter_is_avoided_where_there_is_room_in_white() -> None:
    allowed = np.ones((40, 40, 40), bool)
    cost = np.zeros(allowed.shape)
    cost[:24] = 1.0  # the left is dear
    box = np.full((8, 8, 8), SNFH, np.uint8)
    for seed in range(5):
        found = place(box, Ground(allowed, cost), ISOTROPIC, np.random.default_rng(seed))
        assert found is not None
        assert found.corner[0] >= 24 - 0.2 * 8 - 3  # what is tolerated, and a coarse voxel


def test_tight_boxes() -> None:
    labels = np.zeros((5, 6, 7), np.uint8)
    assert tight(labels).size == 0
    labels[1:3, 2:6, 4] = RC
    assert tight(labels).shape == (2, 4, 1)
    assert BACKGROUND not in tight(labels)
