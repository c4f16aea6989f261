from itertools import islice
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
import torchio as tio
from conftest import write_case
from torch.utils.data import DataLoader

from lightning_brats.data.cache import Cache, CachedCase
from lightning_brats.data.patches import PatchDataset, collate, read_region
from lightning_brats.data.preprocess import Preprocess
from lightning_brats.data.queue import PatchQueue, PositionSampler, QueueSettings
from lightning_brats.data.sampling import PatchPlan, PatchRequest
from lightning_brats.errors import ConfigError

PATCH = (8, 8, 8)


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
    return DataLoader(patches, 2, sampler=sampler, collate_fn=collate, generator=own)


def epoch(patches: PatchQueue, number: int, start: int = 0) -> list[dict]:
    sampler = PositionSampler(patches)
    sampler.set_epoch(number)
    sampler.start = start
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


def test_forced_patches_hold_tumour(cached: list[CachedCase]) -> None:
    dataset = PatchDataset(cached, PATCH)
    for seed in range(20):
        assert dataset[PatchRequest(0, True, seed)].mask.data.any()


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


def test_spatial_transforms_see_a_margin_and_return_the_patch(cached: list[CachedCase]) -> None:
    def check(subject: tio.Subject) -> tio.Subject:
        assert subject.spatial_shape == (12, 12, 12)
        return subject

    dataset = PatchDataset(cached, PATCH, tio.Lambda(lambda data: data), margin=2)
    seen = []
    dataset.transform = lambda subject: seen.append(check(subject)) or subject
    patch = dataset[PatchRequest(0, False, 1)]
    assert seen
    assert patch.spatial_shape == PATCH


def test_slices_have_no_margin_along_their_axis(cached: list[CachedCase]) -> None:
    dataset = PatchDataset(cached, (8, 8, 1), lambda s: s, margin=3)
    assert dataset[PatchRequest(0, True, 1)].spatial_shape == (8, 8, 1)


def test_a_failing_transform_is_raised_in_the_trainer(cached: list[CachedCase]) -> None:
    def fail(subject: tio.Subject) -> tio.Subject:
        raise ValueError("the transform's own message")

    with pytest.raises(ValueError, match="the transform's own message"):
        epoch(queue(cached, 2, fail), 0)


def test_read_region_pads_outside() -> None:
    volume = np.arange(2 * 3 * 3 * 3, dtype=np.float16).reshape(2, 3, 3, 3)
    region = read_region(volume, (-1, 0, 2), (3, 3, 2))
    assert region.shape == (2, 3, 3, 2)
    assert np.array_equal(region[:, 1:, :, 0], volume[:, :2, :, 2])
    assert not region[:, 0].any()
    assert not region[..., 1].any()


def test_memory_bound_is_checked(cached: list[CachedCase]) -> None:
    plan = PatchPlan(3, 4, 0.3, 2)
    with pytest.raises(ConfigError, match="max_bytes"):
        PatchQueue(PatchDataset(cached, PATCH), plan, workers=2, max_bytes=5000)


@pytest.mark.parametrize(
    "wrong", [{"patch_size": (8, 8)}, {"batch_size": 0}, {"foreground": 1.5}, {"workers": -1}]
)
def test_settings_are_checked(wrong: dict) -> None:
    with pytest.raises(ConfigError):
        QueueSettings(**wrong)
