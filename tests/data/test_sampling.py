import time
import tracemalloc
from collections import Counter
from itertools import islice

import pytest

from lightning_brats.data.sampling import PatchPlan


def plan(**changes) -> PatchPlan:
    settings = {"subjects": 10, "patches_per_volume": 3, "foreground": 1 / 3, "batch_size": 2}
    return PatchPlan(**{**settings, **changes})


def test_an_epoch_visits_every_subject_equally_often() -> None:
    assert Counter(r.subject for r in plan().epoch(0)) == dict.fromkeys(range(10), 3)


def test_same_seed_same_patches_and_another_epoch_others() -> None:
    assert list(plan().epoch(4)) == list(plan().epoch(4))
    assert list(plan().epoch(4)) != list(plan().epoch(5))
    assert list(plan().epoch(4)) != list(plan(seed=1).epoch(4))


def test_starting_late_gives_the_rest_of_the_epoch() -> None:
    assert list(plan().epoch(2, start=7)) == list(plan().epoch(2))[7:]


@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_ranks_share_out_the_patches_of_one_process(world: int) -> None:
    ranks = [list(plan(rank=r, world=world).epoch(1)) for r in range(world)]
    assert len({len(rank) for rank in ranks}) == 1
    dealt = [ranks[i % world][i // world] for i in range(world * len(ranks[0]))]
    alone = list(plan().epoch(1))
    assert dealt[: len(alone)] == alone
    assert len(dealt) - len(alone) < 2 * world
    assert len(ranks[0]) % 2 == 0


def test_leftover_places_go_to_one_more_subject_each() -> None:
    ranks = [plan(subjects=1003, patches_per_volume=4, rank=r, world=64) for r in range(64)]
    visits = Counter(request.subject for rank in ranks for request in rank.epoch(7))
    assert {len(rank) for rank in ranks} == {64}  # 1003 · 4 in steps of 2 · 64, rounded up
    assert Counter(visits.values()) == {4: 1003 - 84, 5: 84}  # 64 · 64 - 1003 · 4


def test_within_a_round_a_subject_belongs_to_one_rank() -> None:
    ranks = [list(plan(subjects=128, rank=r, world=64).epoch(0)) for r in range(64)]
    first = [request.subject for rank in ranks for request in rank[:2]]
    assert sorted(first) == list(range(128))


def test_more_ranks_than_subjects_all_have_work() -> None:
    ranks = [list(plan(subjects=3, rank=r, world=64).epoch(0)) for r in range(64)]
    assert {len(rank) for rank in ranks} == {2}
    visits = Counter(request.subject for rank in ranks for request in rank)
    assert sorted(visits.values()) == [42, 43, 43]


def test_planning_scales_to_a_hundred_thousand_subjects() -> None:
    large = plan(subjects=100_000, patches_per_volume=4, rank=63, world=64)
    tracemalloc.start()
    started = time.process_time()
    requests = list(islice(large.epoch(3), 100))
    spent, (_, peak) = time.process_time() - started, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(large) == 6250
    assert len({request.seed for request in requests}) == 100
    assert spent < 2
    assert peak < 30e6


@pytest.mark.parametrize("share", [0, 0.25, 0.3333, 0.29, 0.5, 2 / 3, 0.9, 1])
def test_foreground_share_is_exact_and_spread(share: float) -> None:
    requests = list(plan(subjects=100, foreground=share, seed=4).epoch(0))
    forced = [request.forced for request in requests]
    exact = {0.3333: 1 / 3}.get(share, share)
    assert sum(forced) == round(300 * exact)
    for length in (60, 150):  # any stretch has its share, to one patch on each side
        counts = [sum(forced[i : i + length]) for i in range(0, 300 - length)]
        assert max(abs(count - length * exact) for count in counts) <= 2


@pytest.mark.parametrize(("share", "world"), [(1 / 3, 3), (0.5, 2), (0.5, 4), (0.25, 8)])
def test_no_rank_gets_all_the_foreground(share: float, world: int) -> None:
    for rank in range(world):
        requests = plan(subjects=400, foreground=share, rank=rank, world=world).epoch(0)
        forced = [request.forced for request in requests]
        assert sum(forced) / len(forced) == pytest.approx(share, abs=0.12)


def test_tumour_slices_have_their_own_share() -> None:
    requests = list(plan(subjects=100, foreground=0.5, tumour=0.5, slices=(0.1, 0.9)).epoch(0))
    assert sum(request.tumour for request in requests) == 150
    assert 40 < sum(request.tumour and request.forced for request in requests) < 110
    assert {request.slices for request in requests} == {(0.1, 0.9)}


def test_patches_of_one_epoch_have_their_own_seeds() -> None:
    assert len({r.seed for r in plan().epoch(0)}) == 30
