import os
import time
from itertools import islice
from math import ceil, floor
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
import torchio as tio
from conftest import write_case
from torch.utils.data import DataLoader

from lightning_brats.data.cache import Cache, CachedCase
from lightning_brats.data.patches import PatchDataset
from lightning_brats.data.placement import patch_corner
from lightning_brats.data.preprocess import Preprocess
from lightning_brats.data.queue import (
    PatchQueue,
    PositionSampler,
    QueueSettings,
    collate_patches,
)
from lightning_brats.data.sampling import PatchPlan, PatchRequest
from lightning_brats.errors import ConfigError, DataError

PATCH = (8, 8, 8)
on_linux = pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="measures with Linux' own accounts"
)


@pytest.fixture
def cached(tmp_path: Path) -> list[CachedCase]:
    cache = Cache(tmp_path / "cache", Preprocess())
    return [cache.get(write_case(tmp_path, f"c{i}", seed=i)) for i in range(3)]


def queue(cached: list[CachedCase], workers: int = 0, transform=None, **changes) -> PatchQueue:
    settings = {"patches_per_volume": 4, "foreground": 0.5, "batch_size": 2, "seed": 3}
    plan = PatchPlan(subjects=len(cached), **{**settings, **changes})
    return PatchQueue(PatchDataset(cached, PATCH, transform), plan, workers)


def loader(patches: PatchQueue, sampler: PositionSampler) -> DataLoader:
    own = torch.Generator()
    return DataLoader(patches, 2, sampler=sampler, collate_fn=collate_patches, generator=own)


def epoch(patches: PatchQueue, number: int, start: int = 0) -> list[dict]:
    sampler = PositionSampler(patches)
    sampler.go_on(number, start)
    return list(loader(patches, sampler))


def equal(first: list[dict], second: list[dict]) -> bool:
    return len(first) == len(second) and all(
        torch.equal(a["image"], b["image"]) and a["case"] == b["case"]
        for a, b in zip(first, second, strict=True)
    )


def test_is_a_torchio_queue_of_subjects(cached: list[CachedCase]) -> None:
    patches = queue(cached)
    assert isinstance(patches, tio.Queue)
    assert isinstance(patches[0], tio.Subject)
    assert len(patches) == 12


def test_batches_are_compact_and_cut_from_the_volume(cached: list[CachedCase]) -> None:
    batch = epoch(queue(cached), 0)[0]
    assert batch["image"].shape == (2, 4, *PATCH)
    assert batch["image"].dtype == torch.float16
    assert batch["mask"].shape == (2, 1, *PATCH)
    assert batch["mask"].dtype == torch.uint8
    request = PatchRequest(subject=1, forced=True, seed=11)
    patch = PatchDataset(cached, PATCH)[request]
    windows = np.lib.stride_tricks.sliding_window_view(cached[1].image, (4, *PATCH))
    matches = (windows == patch.image.data.numpy()).all((-1, -2, -3, -4))
    assert matches.sum() == 1
    place = tuple(np.argwhere(matches)[0][1:])
    mask = cached[1].mask[tuple(slice(p, p + 8) for p in place)]
    assert np.array_equal(patch.mask.data[0], mask)


def test_workers_give_the_same_patches_as_none(cached: list[CachedCase]) -> None:
    flip = tio.RandomFlip(axes=(0, 1, 2))
    alone, helped = queue(cached, 0, flip), queue(cached, 2, flip)
    for number in range(3):
        assert equal(epoch(alone, number), epoch(helped, number))


def test_epochs_differ_and_restarting_one_repeats_it(cached: list[CachedCase]) -> None:
    patches = queue(cached, 1)
    first, second = epoch(patches, 0), epoch(patches, 1)
    assert not equal(first, second)
    assert equal(epoch(patches, 0), first)


def test_resuming_in_the_middle_gives_the_rest(cached: list[CachedCase]) -> None:
    whole = epoch(queue(cached), 5)
    assert equal(epoch(queue(cached, 1), 5, start=4), whole[2:])


def test_where_an_epoch_was_left_is_no_start_of_the_next(cached: list[CachedCase]) -> None:
    """As `limit_train_batches` leaves one: the trainer goes on with the epoch that follows."""
    patches = queue(cached)
    sampler = PositionSampler(patches)
    sampler.go_on(0, 4)
    sampler.set_epoch(1)
    assert equal(list(loader(patches, sampler)), epoch(queue(cached), 1))


def test_an_abandoned_epoch_does_not_leak_into_the_next(cached: list[CachedCase]) -> None:
    patches = queue(cached, 2)
    sampler = PositionSampler(patches)
    list(islice(loader(patches, sampler), 2))
    assert equal(epoch(patches, 1), epoch(queue(cached), 1))


def test_workers_persist_over_epochs(cached: list[CachedCase]) -> None:
    patches = queue(cached, 2)
    epoch(patches, 0)
    before = {child.pid for child in psutil.Process().children()}
    epoch(patches, 1)
    epoch(patches, 7)
    assert {child.pid for child in psutil.Process().children()} == before


def test_augmentation_does_not_touch_the_trainer_s_randomness(cached: list[CachedCase]) -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    epoch(queue(cached, 0, tio.RandomNoise()), 0)
    assert torch.equal(torch.get_rng_state(), state)


def test_slices_have_no_margin_along_their_axis(cached: list[CachedCase]) -> None:
    dataset = PatchDataset(cached, (8, 8, 1), lambda s: s, margin=3)
    assert dataset[PatchRequest(0, True, 1)].spatial_shape == (8, 8, 1)


def test_torchio_s_own_loader_takes_it(cached: list[CachedCase]) -> None:
    patches = queue(cached, 1)
    batches = list(tio.SubjectsLoader(patches, batch_size=2))
    assert len(batches) == 6
    assert batches[0]["image"]["data"].shape == (2, 4, *PATCH)
    assert set(batches[0]["case"]) <= {"c0", "c1", "c2"}


def test_subjects_bring_their_history(cached: list[CachedCase]) -> None:
    noise, own = tio.RandomNoise(std=(0.5, 0.5)), tio.Lambda(lambda x: x * 1)
    for workers in (0, 1):
        patch = queue(cached, workers, tio.Compose([noise, own]))[0]
        assert next(name for name, _ in patch.applied_transforms) == "Noise"
        assert patch.image.data.dtype == torch.float16


def test_batches_are_the_trainer_s_own(cached: list[CachedCase]) -> None:
    """What the queue gives stays as it is while the queue goes on, however often it goes round."""
    patches = queue(cached, 2)
    batches = [patches.__getitems__([0, 1])]
    kept = batches[0].image.clone()
    for number in range(20):
        epoch(patches, number)
    assert torch.equal(batches[0].image, kept)


def test_statistics_count_what_was_taken(cached: list[CachedCase]) -> None:
    patches = queue(cached, 1)
    epoch(patches, 0)
    time.sleep(0.5)
    assert patches.num_patches == patches.capacity == 16
    found = patches.statistics
    before = (found.patches, found.ready)
    patches.__getitems__([0, 1])
    assert before[0] == 12
    assert found.patches == 14
    assert found.ready - before[1] >= 2 * 16 - 1
    assert 0 < found.waited < 60


def test_memory_bound_is_checked(cached: list[CachedCase]) -> None:
    plan = PatchPlan(3, 4, 0.3, 2)
    one = 8**3 * 9
    with pytest.raises(ConfigError, match="max_bytes"):
        PatchQueue(PatchDataset(cached, PATCH), plan, workers=2, max_bytes=6 * one - 1)
    least = PatchQueue(PatchDataset(cached, PATCH), plan, workers=2, max_bytes=6 * one)
    assert least.capacity == 2
    assert equal(epoch(least, 0), epoch(PatchQueue(PatchDataset(cached, PATCH), plan), 0))


def test_page_locked_batches_are_counted_as_cuda_keeps_them(cached: list[CachedCase]) -> None:
    patches = PatchQueue(PatchDataset(cached, (10, 10, 10)), PatchPlan(3, 4, 0.3, 2), pin=True)
    assert patches.batch_bytes == 3 * (2**14 + 2**11)  # 2·4·2·1000 and 2·1000 bytes, rounded up


def allocated_memory() -> int:
    """Bytes of this process and its workers, what they share counted once; no files' pages."""
    found = 0
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                found += int(line.split()[1]) * 1024
    return found


@on_linux
def test_memory_stays_within_its_bound(cached: list[CachedCase]) -> None:
    """Measured on the processes: patches, batches, and what a worker needs to cut one."""
    dataset, bound = PatchDataset(cached, (96, 96, 96)), 100_000_000
    patches = PatchQueue(dataset, PatchPlan(3, 4, 0.3, 2), workers=2, max_bytes=bound)
    assert patches.capacity == 8
    (small := queue(cached, 2))[0]  # what the first patch loads is not the queue's
    small.close()
    before, most = allocated_memory(), 0
    sampler = PositionSampler(patches)
    for _ in loader(patches, sampler):
        most = max(most, allocated_memory() - before)
    patches.close()
    cutting = 2 * 2 * patches.patch_bytes
    fresh = 2 * 25_000_000  # pages that a forked process writes to
    assert 8 * patches.patch_bytes < most < bound + cutting + fresh


def open_files(patches: PatchQueue) -> list[int]:
    """Of the trainer and each worker, once all have nothing to do."""
    while patches.num_patches < patches.capacity:
        time.sleep(0.01)
    return [psutil.Process(pid).num_fds() for pid in (*patches.pids, os.getpid())]


@on_linux
def test_nothing_grows_over_epochs(cached: list[CachedCase]) -> None:
    patches = queue(cached, 2, tio.RandomFlip())
    for number in range(10):
        epoch(patches, number)
    before, files = allocated_memory(), open_files(patches)
    for number in range(10, 50):
        epoch(patches, number)
    assert allocated_memory() - before < 8_000_000
    assert open_files(patches) == files


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_along_any_axis(cached: list[CachedCase], axis: int) -> None:
    size = [8, 8, 8]
    size[axis] = 1
    plan = PatchPlan(3, 40, 0.0, 4, tumour=1.0, slices=(0.25, 0.75))
    patches = PatchQueue(PatchDataset(cached, size), plan, workers=1)
    batch = collate_patches(patches.__getitems__(range(4)))
    assert batch["image"].shape == (4, 4, *size)
    requests = list(plan.epoch(0))
    for request, case in zip(requests, batch["case"], strict=False):
        assert cached[request.subject].meta["case"] == case
    # Every slice that the requests stand for holds tumour and lies in the middle half.
    for request in requests:
        entry = cached[request.subject]
        generator = np.random.default_rng(request.seed)
        corner = patch_corner(entry.shape, tuple(size), entry.foreground, request, generator)
        place = corner[axis]
        assert np.take(entry.mask, place, axis).any()
        assert floor(0.25 * entry.shape[axis]) <= place < ceil(0.75 * entry.shape[axis])


def test_cases_are_checked_before_training_on_slices(cached: list[CachedCase]) -> None:
    QueueSettings((8, 8, 1), slices=(2, 12), tumour_only=True).check(cached)
    QueueSettings((8, 8, 1)).check(cached)
    with pytest.raises(ConfigError, match="begins beyond"):
        QueueSettings((8, 8, 1), slices=(40, 50)).check(cached)
    with pytest.raises(DataError, match="no slice from 0 to 0 holds tumour") as caught:
        QueueSettings((8, 8, 1), slices=(0, 0.01), tumour_only=1).check(cached)
    assert caught.value.case == "c0"


@pytest.mark.parametrize(
    "wrong",
    [
        {"patch_size": (8, 8)},
        {"patch_size": (8, 1, 1)},
        {"batch_size": 0},
        {"patches_per_volume": 0},
        {"foreground": 1.5},
        {"workers": -1},
        {"margin": -1},
        {"tumour_only": True},
        {"slices": (0.1, 0.9)},
        {"patch_size": (8, 8, 1), "tumour_only": 2},
        {"patch_size": (8, 8, 1), "slices": (0.9, 0.1)},
        {"patch_size": (8, 8, 1), "slices": (-1, 5)},
        {"patch_size": (8, 8, 1), "slices": (0.5, 5)},
        {"patch_size": (8, 8, 1), "slices": (5,)},
    ],
)
def test_settings_are_checked(wrong: dict) -> None:
    with pytest.raises(ConfigError, match=r"queue\."):
        QueueSettings(**wrong)
