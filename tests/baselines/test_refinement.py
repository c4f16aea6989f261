"""Refinement of masks: borders drawn by hand, and what is chosen on validation cases."""

import numpy as np
import pytest

from lightning_brats.baselines.band import APART, IN_DOUBT, INSIDE, OUTSIDE, Band, grow, walk
from lightning_brats.baselines.refinement import KEEP, Refinement, _surely_helps
from lightning_brats.baselines.scan import Scan
from lightning_brats.baselines.tissue import dice
from lightning_brats.errors import ConfigError, DataError
from lightning_brats.labels import BACKGROUND, ET, NETC, RC, SNFH

SHAPE = (40, 40, 40)
MM = (1.0, 1.0, 1.0)


def ball(centre: tuple[int, int, int], radius: float) -> np.ndarray:
    grid = np.indices(SHAPE)
    return ((grid - np.array(centre)[:, None, None, None]) ** 2).sum(0) <= radius**2


BRAIN = ball((20, 20, 20), 19)
TUMOUR = ball((20, 20, 20), 9)


def scan(start: np.ndarray, labels: np.ndarray | None = None, seed: int = 0) -> Scan:
    """A bright tumour on FLAIR with a brighter core on contrast-enhanced T1, in noise."""
    rng = np.random.default_rng(seed)
    flair = 2 + 0.2 * rng.standard_normal(SHAPE) + 4 * TUMOUR
    t1c = 2 + 0.2 * rng.standard_normal(SHAPE) + 4 * ball((20, 20, 20), 5)
    channels = {"t2f": np.where(BRAIN, flair, 0), "t1c": np.where(BRAIN, t1c, 0)}
    return Scan({k: v.astype(np.float32) for k, v in channels.items()}, MM, labels, start)


def truth() -> np.ndarray:
    labels = np.where(TUMOUR, SNFH, 0).astype(np.uint8)
    labels[ball((20, 20, 20), 5)] = ET
    return labels


def shrunk() -> np.ndarray:
    """A network's mask that misses the outer 2 mm of everything."""
    labels = np.where(ball((20, 20, 20), 7), SNFH, 0).astype(np.uint8)
    labels[ball((20, 20, 20), 4)] = ET
    return labels


def test_a_band_is_in_doubt_on_both_sides_of_the_surface() -> None:
    band = Band.around(TUMOUR, BRAIN, 2.0, MM)
    line = band.put(band.marks == INSIDE, SHAPE)[:, 20, 20]
    assert np.flatnonzero(line).tolist() == list(range(13, 28))  # more than 2 mm from voxel 30
    doubt = band.put(band.marks == IN_DOUBT, SHAPE)[:, 20, 20]
    assert np.flatnonzero(doubt).tolist() == [9, 10, 11, 12, 28, 29, 30, 31]
    outside = band.put(band.marks == OUTSIDE, SHAPE)[:, 20, 20]
    assert np.flatnonzero(outside).tolist() == [7, 8, 32, 33]
    assert (band.put(band.marks != APART, SHAPE) <= ball((20, 20, 20), 14)).all()


def test_nothing_outside_the_brain_is_in_doubt() -> None:
    band = Band.around(ball((5, 20, 20), 3), BRAIN, 4.0, MM)
    assert not (band.put(band.marks == IN_DOUBT, SHAPE) & ~BRAIN).any()


def test_a_small_component_keeps_its_middle() -> None:
    both = TUMOUR | ball((20, 20, 34), 2)
    band = Band.around(both, BRAIN, 4.0, MM)
    assert band.put(band.marks == INSIDE, SHAPE)[20, 20, 34]


@pytest.mark.parametrize("decide", [grow, lambda band, channel: walk(band, channel, 90.0)])
@pytest.mark.parametrize("radius", [7, 11])
def test_the_border_moves_to_where_intensities_change(decide, radius: float) -> None:
    start = ball((20, 20, 20), radius)
    seen = scan(start.astype(np.uint8))
    band = Band.around(start, BRAIN, 4.0, MM)
    found = band.put(decide(band, seen.channels["t2f"]), SHAPE)
    assert dice(TUMOUR, found) > 0.98 > dice(TUMOUR, start) + 0.1


@pytest.mark.parametrize("across", [0, 1, 2])
@pytest.mark.parametrize(
    ("length", "inside"), [(1.0, True), (1.4, True), (1.5, False), (5.0, False)]
)
def test_a_walk_takes_long_steps_less_often(across: int, length: float, inside: bool) -> None:
    """Two neighbours inside, a long step away each, one outside at 1 mm: 2 to length², by hand."""
    marks = np.full((3, 3, 3), APART)
    marks[1, 1] = INSIDE, IN_DOUBT, INSIDE
    marks[1, 0, 1] = OUTSIDE
    channel = np.zeros((3, 3, 3))
    channel[0, 0, 0] = 1  # far away: intensities are alike where steps are taken
    marks, channel = (np.moveaxis(array, 2, across) for array in (marks, channel))
    spacing = tuple(length if axis == across else 1.0 for axis in range(3))
    band = Band((slice(0, 3),) * 3, marks, spacing)
    assert walk(band, channel, 90.0)[1, 1, 1] == inside


def test_a_border_between_thick_slices_holds_a_walk_up() -> None:
    marks = np.full((1, 5, 6), APART)
    marks[0, 2] = INSIDE, *[IN_DOUBT] * 4, OUTSIDE
    channel = np.ones((1, 5, 6))
    channel[..., 5] = 0  # the border is the outer one of five steps
    band = Band((slice(0, 1), slice(0, 5), slice(0, 6)), marks, (1.0, 1.0, 5.0))
    assert walk(band, channel, 90.0)[0, 2].tolist() == [True] * 5 + [False]


def test_growing_needs_a_way_from_the_inside() -> None:
    start = ball((20, 20, 20), 7)
    channel = np.where(start | ball((31, 20, 20), 1), 5.0, 1.0)
    band = Band.around(start, BRAIN, 5.0, MM)
    assert not band.put(grow(band, channel), SHAPE)[31, 20, 20]


def test_what_helps_on_validation_cases_is_chosen() -> None:
    refinement = Refinement("run")
    found = refinement.fit([scan(shrunk(), truth(), seed) for seed in (0, 1)], 0)
    assert found["validation_cases"] == 2
    for name in ("WT", "ET"):
        assert found[name]["way"] != KEEP
        scores = found[name]["validation_dice"]
        assert scores["after"] > 0.9 > scores["before"] + 0.05
    labels = refinement.segment(scan(shrunk(), seed=7))
    assert dice(TUMOUR, labels > 0) > 0.95
    assert dice(truth() == ET, labels == ET) > 0.9


def test_one_case_and_gains_that_may_be_chance_are_not_enough() -> None:
    refinement = Refinement("run")
    assert refinement.fit([scan(shrunk(), truth())], 0)["WT"]["way"] == KEEP
    # Student's t with one degree of freedom: 3.08 standard errors for 90 %.
    assert not _surely_helps([0.1])
    assert not _surely_helps([0.10, 0.02])  # 0.06 with an error of 0.04
    assert _surely_helps([0.10, 0.06])  # 0.08 with an error of 0.02
    assert not _surely_helps([0.0, 0.0])


def test_a_right_mask_is_left_as_it_is() -> None:
    refinement = Refinement("run")
    found = refinement.fit([scan(truth(), truth(), seed) for seed in (0, 1)], 0)
    assert {found[name]["way"] for name in ("WT", "TC", "ET")} == {KEEP}
    start = truth()
    start[ball((20, 20, 20), 2)] = NETC
    start[ball((20, 8, 20), 3)] = RC
    assert np.array_equal(refinement.segment(scan(start)), start)


def test_cavities_stay_where_a_mask_is_closed_over_them() -> None:
    start = np.where(TUMOUR, SNFH, 0).astype(np.uint8)
    start[20, 20, 18:23] = RC  # thin: closing fills it
    refinement = Refinement("run")
    wanted = np.where(start == RC, BACKGROUND, start)
    before = refinement._scores(scan(start, wanted))["WT"]
    assert before["close 3 mm"] == before[KEEP] == 1  # chosen by the masks that are written
    refinement.chosen = {"WT": "close 3 mm", "TC": KEEP, "ET": KEEP}
    assert np.array_equal(refinement.segment(scan(start)), start)


def test_an_empty_mask_stays_empty() -> None:
    nothing = np.zeros(SHAPE, np.uint8)
    refinement = Refinement("run")
    refinement.fit([scan(nothing, nothing)], 0)
    refinement.chosen = dict.fromkeys(refinement.chosen, "walk within 2 mm")
    assert not refinement.segment(scan(nothing)).any()


def test_without_validation_cases_nothing_can_be_chosen() -> None:
    with pytest.raises(DataError, match="no validation cases"):
        Refinement("run").fit([], 0)
    with pytest.raises(ConfigError, match="above 0"):
        Refinement("run", bands=[0])
