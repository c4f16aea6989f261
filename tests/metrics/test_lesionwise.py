"""Lesions by hand, and every protocol against an independent step-by-step implementation."""

import by_the_book as book
import numpy as np
import pytest
from label_volumes import random_pair

from lightning_brats.metrics import score_case, volumes
from lightning_brats.metrics.joining import join

SHAPE = (60, 40, 30)


def volume(*boxes: tuple[slice, slice, slice], label: int = 3) -> np.ndarray:
    out = np.zeros(SHAPE, np.uint8)
    for box in boxes:
        out[box] = label
    return out


def cube(x: int, edge: int = 5) -> tuple[slice, slice, slice]:
    return slice(x, x + edge), slice(5, 5 + edge), slice(5, 5 + edge)


def test_a_found_a_missed_and_an_invented_lesion() -> None:
    reference, prediction = volume(cube(5), cube(25)), volume(cube(5), cube(45))
    scores, rows = score_case(reference, prediction, protocol="brats2023-gli", lesions=True)
    et = scores["ET"]
    assert (et["lesion_tp"], et["lesion_fn"], et["lesion_fp"]) == (1, 1, 1)
    assert et["lesion_dice"] == pytest.approx(1 / 3)
    assert et["lesion_hd95"] == pytest.approx(2 * 374 / 3)
    found = [(r.number, r.status, r.volume, r.partners) for r in rows if r.region == "ET"]
    assert found == [(1, "tp", 125, 1), (2, "fn", 125, 0), (2, "fp", 125, 0)]


def test_lesions_near_each_other_are_one_lesion_and_may_have_several_partners() -> None:
    pieces = volume(cube(5), cube(14))  # 4 empty planes between
    scores, rows = score_case(pieces, pieces, protocol="brats2023-gli", lesions=True)
    assert [(r.volume, r.partners, r.dice) for r in rows if r.region == "ET"] == [(250, 2, 1)]
    assert scores["ET"]["lesion_tp"] == 1
    apart = score_case(pieces, pieces, protocol="brats2023-men")["ET"]  # one dilation only
    assert apart["lesion_tp"] == 2


def test_small_lesions_are_left_out_with_what_matches_them() -> None:
    small = volume(cube(5, 3))  # 27 mm³
    for spacing, kept in ((None, 0), ((1.0, 1.0, 2.0), 1)):
        scores = score_case(small, small, spacing, "brats2023-gli")["ET"]
        assert (scores["lesion_tp"], scores["lesion_fp"]) == (kept, 0)
        assert scores["lesion_dice"] == 1
    alone = score_case(volume(), small, protocol="brats2023-gli")["ET"]
    assert (alone["lesion_fp"], alone["lesion_dice"], alone["lesion_hd95"]) == (1, 0, 374)


def test_a_lesion_exactly_at_the_threshold_is_left_out() -> None:
    slab = volume((slice(0, 5), slice(0, 5), slice(0, 2)))
    for extra, kept in ((0, 0), (1, 1)):
        slab[5, 0, 0] = 3 * extra
        assert score_case(slab, slab, protocol="brats2023-gli")["ET"]["lesion_tp"] == kept


def test_nothing_to_divide_scores_perfectly() -> None:
    for protocol in ("brats2023-met", "brats2024-gli"):
        for scores in score_case(volume(), volume(), protocol=protocol).values():
            assert (scores["lesion_dice"], scores["lesion_hd95"]) == (1, 0)
            assert (scores["lesion_tp"], scores["lesion_fp"], scores["lesion_fn"]) == (0, 0, 0)


def test_2024_ignores_predicted_specks_even_whole_volume() -> None:
    reference = volume(cube(5))
    prediction = reference.copy()
    prediction[40, 20, 20] = 3
    scores = score_case(reference, prediction, protocol="brats2024-gli")["ET"]
    assert (scores["dice"], scores["volume_prediction"], scores["lesion_fp"]) == (1, 125, 0)


def test_2024_joins_lesions_that_share_another_tissue() -> None:
    """Two ET pieces far apart, each touching one long NETC lesion, and a third that is free."""
    both = volume(cube(5), cube(25), cube(50))
    both[10:25, 5:10, 5:10] = 1
    _, rows = score_case(both, both, protocol="brats2024-gli", lesions=True)
    assert [row.volume for row in rows if row.region == "ET"] == [125, 250]
    both[12:23, 5:10, 5:10] = 0  # now two NETC lesions, each with its own ET
    _, rows = score_case(both, both, protocol="brats2024-gli", lesions=True)
    assert [row.volume for row in rows if row.region == "ET"] == [125, 125, 125]


def test_joining_by_hand() -> None:
    assert join(3, []).tolist() == [0, 1, 2, 3]
    assert join(3, [[(1, 1)]]).tolist() == [0, 1, 2, 3]  # a single pair joins nothing
    assert join(3, [[(1, 1), (2, 1)]]).tolist() == [0, 2, 2, 1]  # 3 keeps its number and is first
    # Lesion 2 touches both others: it takes the number of the first pair it appears in.
    assert join(3, [[(1, 1), (2, 1), (2, 2), (3, 2)]]).tolist() == [0, 1, 1, 2]
    # The second tissue sees the merged lesion.
    assert join(3, [[(1, 1), (2, 1)], [(2, 1), (3, 1)]]).tolist() == [0, 1, 1, 1]


def test_2024_looks_at_the_other_tissues_in_order() -> None:
    """Three SNFH lesions 1, 2, 3 in a row. ET 1 touches 2, ET 2 touches 1 and 3, NETC 2 and 3.

    ET first joins 1 with 3, and NETC then 2 with both. The other way round, NETC would join 2 with
    3, whose first partner is ET 1, and lesion 1 would stay alone.
    """
    both = np.zeros((70, 30, 40), np.uint8)
    wide, deep = slice(20, 23), slice(20, 23)
    for x in (20, 40, 60):
        both[x : x + 3, wide, deep] = 2
    both[0:43, wide, 10:13] = both[40:43, wide, 10:20] = 3
    both[20:63, wide, 32:35] = both[20:23, wide, 23:35] = both[60:63, wide, 23:35] = 3
    both[43:60, wide, deep] = 1
    _, rows = score_case(both, both, protocol="brats2024-gli", lesions=True)
    assert [row.volume for row in rows if row.region == "SNFH"] == [81]


def test_2026_prefers_one_good_pair_to_two_poor_ones() -> None:
    reference, prediction = np.zeros((2, 31, 3, 3), np.uint8)
    reference[3:21], reference[22:31] = 3, 3
    prediction[0:4], prediction[5:23] = 3, 3
    scores = score_case(reference, prediction, protocol="brats2026-gli")["ET"]
    assert (scores["instance_tp"], scores["instance_fp"], scores["instance_fn"]) == (1, 1, 1)


def test_2026_matches_one_to_one_by_best_total_dice() -> None:
    reference = volume((slice(0, 10), slice(0, 4), slice(0, 4)))
    prediction = reference.copy()
    prediction[6] = 0  # one lesion predicted in two parts
    scores, rows = score_case(reference, prediction, protocol="brats2026-gli", lesions=True)
    et = scores["ET"]
    assert (et["instance_tp"], et["instance_fp"], et["instance_fn"]) == (1, 1, 0)
    assert et["instance_f1"] == pytest.approx(2 / 3)
    best = next(row for row in rows if row.region == "ET" and row.status == "tp")
    assert best.dice == pytest.approx(2 * 6 / 16)


def test_2026_leaves_absent_regions_undefined() -> None:
    scores = score_case(volume(), volume(cube(5)), protocol="brats2026-gli")
    assert np.isnan([scores["RC"][name] for name in ("dice", "hd95", "instance_f1")]).all()
    assert (scores["ET"]["instance_f1"], scores["ET"]["dice"]) == (0, 0)


def compare(found, expected) -> None:
    for region, metrics in expected.items():
        got = {name: found[region][name] for name in metrics}
        assert got == pytest.approx(metrics, abs=1e-7, nan_ok=True), region


@pytest.mark.parametrize("seed", range(16))
def test_random_volumes_score_as_by_the_book(seed, monkeypatch) -> None:
    if seed % 2:
        monkeypatch.setattr(volumes, "BOX_COST", -(10**9))  # crops wherever there can be any
    reference, prediction, spacing = random_pair(np.random.default_rng(seed))
    score = lambda protocol: score_case(reference, prediction, spacing, protocol)  # noqa: E731
    compare(score("brats2023-gli"), book.brats2023(reference, prediction, spacing, 3, 50))
    compare(score("brats2023-men"), book.brats2023(reference, prediction, spacing, 1, 50))
    compare(score("brats2023-met"), book.brats2023(reference, prediction, spacing, 1, 2))
    compare(score("brats2024-gli"), book.brats2024(reference, prediction, spacing))
    compare(score("brats2026-gli"), book.brats2026(reference, prediction))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 120))
def test_larger_random_volumes_score_as_by_the_book(seed) -> None:
    rng = np.random.default_rng(seed)
    pair = random_pair(rng, shape=tuple(rng.integers(30, 60, 3)), objects=int(rng.integers(3, 20)))
    compare(score_case(*pair, "brats2024-gli"), book.brats2024(*pair))
    compare(score_case(*pair, "brats2023-gli"), book.brats2023(*pair, 3, 50))
    compare(score_case(*pair, "brats2026-gli"), book.brats2026(*pair[:2]))


def test_hundreds_of_small_lesions() -> None:
    rng = np.random.default_rng(5)
    reference, prediction = np.zeros((2, 60, 60, 50), np.uint8)
    corners = np.stack(np.meshgrid(*[range(1, n - 4, 6) for n in reference.shape])).reshape(3, -1).T
    for corner in corners:
        box = tuple(slice(c, c + 2) for c in corner)
        reference[box] = 3 * (rng.random() < 0.9)
        prediction[box] = 3 * (rng.random() < 0.9)
    scores = score_case(reference, prediction, protocol="brats2023-met")["ET"]
    found = (reference & prediction)[tuple(corners.T)] > 0
    counts = reference[tuple(corners.T)] > 0, prediction[tuple(corners.T)] > 0
    assert len(corners) > 600
    assert scores["lesion_tp"] == found.sum()
    assert scores["lesion_fn"] == (counts[0] & ~counts[1]).sum()
    assert scores["lesion_fp"] == (counts[1] & ~counts[0]).sum()
    assert scores["lesion_dice"] == pytest.approx(found.sum() / (counts[0] | counts[1]).sum())
