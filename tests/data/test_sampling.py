from collections import Counter

import numpy as np
import pytest

from lightning_brats.data.sampling import PatchPlan, patch_corner


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


def test_foreground_share_is_exact_and_spread() -> None:
    forced = [r.forced for r in plan().epoch(0)]
    assert sum(forced) == 10
    assert all(any(forced[i : i + 3]) for i in range(0, 30, 3))
    assert not any(r.forced for r in plan(foreground=0).epoch(0))
    assert all(r.forced for r in plan(foreground=1).epoch(0))


def test_patches_of_one_epoch_have_their_own_seeds() -> None:
    assert len({r.seed for r in plan().epoch(0)}) == 30


def test_forced_patches_hold_a_voxel_of_each_label_equally_often() -> None:
    coordinates = {1: np.array([[5, 5, 5]]), 3: np.tile([[30, 30, 30]], (1000, 1))}
    generator = np.random.default_rng(0)
    corners = Counter(
        patch_corner((40, 40, 40), (8, 8, 8), coordinates, True, generator) for _ in range(400)
    )
    assert set(corners) == {(1, 1, 1), (26, 26, 26)}
    assert 160 < corners[1, 1, 1] < 240


def test_forced_patches_stay_inside() -> None:
    generator = np.random.default_rng(0)
    corner = patch_corner((40, 40, 40), (16, 16, 16), {2: np.array([[0, 39, 20]])}, True, generator)
    assert corner == (0, 24, 12)


def test_free_patches_cover_every_position() -> None:
    generator = np.random.default_rng(0)
    corners = {patch_corner((6, 5, 4), (4, 4, 4), {}, False, generator) for _ in range(300)}
    assert corners == {(x, y, 0) for x in range(3) for y in range(2)}


def test_volumes_smaller_than_the_patch_lie_inside_it() -> None:
    generator = np.random.default_rng(0)
    corners = {patch_corner((6, 5, 4), (8, 5, 4), {}, False, generator) for _ in range(100)}
    assert corners == {(x, 0, 0) for x in (-2, -1, 0)}


def test_cases_without_tumour_are_drawn_freely() -> None:
    generator = np.random.default_rng(0)
    assert patch_corner((4, 4, 4), (4, 4, 4), {}, True, generator) == (0, 0, 0)
