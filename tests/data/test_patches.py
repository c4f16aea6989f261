"""Patches: cut from the right place, reading what they need, the same in every process."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torchio as tio
from conftest import write_case

from lightning_brats.data import patches, transforms
from lightning_brats.data.cache import Cache, CachedCase
from lightning_brats.data.patches import PatchDataset, collate, read_region
from lightning_brats.data.preprocess import Preprocess
from lightning_brats.data.sampling import PatchRequest
from lightning_brats.errors import DataError

PATCH = (8, 8, 8)
TURN = {"p_rotation": 1, "p_scaling": 1}


@pytest.fixture
def cached(tmp_path: Path) -> list[CachedCase]:
    cache = Cache(tmp_path / "cache", Preprocess())
    return [cache.get(write_case(tmp_path, f"c{i}", seed=i)) for i in range(2)]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Sizes of the regions that are read of images."""
    sizes: list[tuple[int, ...]] = []

    def spy(array: np.ndarray, corner: tuple, size: tuple, fill: float = 0) -> np.ndarray:
        if len(array) > 1:
            sizes.append(tuple(size))
        return read_region(array, corner, size, fill)

    monkeypatch.setattr(patches, "read_region", spy)
    return sizes


def request_(seed: int, forced: bool = False, subject: int = 0) -> PatchRequest:
    return PatchRequest(subject=subject, forced=forced, seed=seed)


def test_a_patch_is_cut_from_the_volume(cached: list[CachedCase]) -> None:
    patch = PatchDataset(cached, PATCH)[request_(11, forced=True, subject=1)]
    assert patch.image.data.dtype == torch.float16
    assert patch.mask.data.dtype == torch.uint8
    assert patch["case"] == "c1"
    windows = np.lib.stride_tricks.sliding_window_view(cached[1].image, (4, *PATCH))
    matches = (windows == patch.image.data.numpy()).all((-1, -2, -3, -4))
    assert matches.sum() == 1
    place = tuple(np.argwhere(matches)[0][1:])
    mask = cached[1].mask[tuple(slice(p, p + 8) for p in place)]
    assert np.array_equal(patch.mask.data[0], mask)


def test_forced_patches_hold_tumour(cached: list[CachedCase]) -> None:
    dataset = PatchDataset(cached, PATCH)
    for seed in range(20):
        assert dataset[request_(seed, forced=True)].mask.data.any()


def test_forced_patches_hold_tumour_after_a_warp(cached: list[CachedCase]) -> None:
    """The warp turns about the patch's middle, where the tumour is."""
    dataset = PatchDataset(cached, PATCH, transforms.RandomWarp(**TURN))
    found = [dataset[request_(seed, forced=True)].mask.data.any().item() for seed in range(20)]
    assert np.mean(found) > 0.9


def test_only_the_patch_is_read_where_nothing_moves(
    cached: list[CachedCase], read: list[tuple]
) -> None:
    never = transforms.RandomWarp(p_rotation=0, p_scaling=0)
    moved = PatchDataset(cached, PATCH, tio.Compose([never, tio.RandomNoise(std=0)]))
    plain = PatchDataset(cached, PATCH)
    for seed in range(5):
        assert torch.equal(moved[request_(seed)].image.data, plain[request_(seed)].image.data)
    assert set(read) == {PATCH}


def test_a_warp_reads_what_it_needs_and_no_more(
    cached: list[CachedCase], read: list[tuple]
) -> None:
    dataset = PatchDataset(cached, PATCH, transforms.RandomWarp(degrees=0, **TURN))
    for seed in range(30):
        assert dataset[request_(seed)].spatial_shape == PATCH
    longest = max(max(size) for size in read)
    assert 10 <= longest <= 7 * 1.4 + 5  # seven steps between eight voxels


@pytest.mark.parametrize("size", [(12, 14, 16), (1, 16, 16)])
@pytest.mark.parametrize("seed", range(4))
def test_no_padding_shows_inside_the_volume(seed: int, size: tuple) -> None:
    """In a volume of ones, a patch from its middle holds ones alone."""
    shape = (48, 48, 48)
    case = SimpleNamespace(
        shape=shape,
        image=np.ones((2, *shape), np.float16),
        mask=np.ones(shape, np.uint8),
        foreground={1: np.array([[24, 24, 24]])},
        meta={"case": "ones"},
    )
    warp = transforms.RandomWarp(degrees=45, **TURN, p_elastic=1)
    patch = PatchDataset([case], size, warp)[request_(seed, forced=True)]
    assert torch.allclose(patch.image.data, torch.ones(2, *size).half(), atol=1e-3)
    assert patch.mask.data.all()


def test_what_a_warp_takes_from_outside_is_zero(cached: list[CachedCase]) -> None:
    np.save(cached[0].folder / "image.npy", np.ones_like(cached[0].image))
    warp = transforms.RandomWarp(scaling=(1.4, 1.4), p_rotation=0, p_scaling=1)
    shape = cached[0].shape
    image = PatchDataset(cached, shape, warp)[request_(0)].image.data.float()
    assert image.mean().item() == pytest.approx(1 / 1.4**3, rel=0.1)
    assert not image[:, 0].any()


def test_volumes_smaller_than_the_patch_are_surrounded_by_zeros(cached: list[CachedCase]) -> None:
    for transform in (None, transforms.RandomWarp(scaling=(0.7, 0.7), **TURN)):
        patch = PatchDataset(cached, (64, 64, 64), transform)[request_(3)]
        assert patch.spatial_shape == (64, 64, 64)
        assert (patch.image.data == 0).float().mean() > 0.5


@pytest.mark.parametrize("transform", [tio.RandomMotion(), transforms.RandomWarp(**TURN)])
def test_a_patch_is_a_function_of_its_request(
    cached: list[CachedCase], transform: tio.Transform
) -> None:
    first = PatchDataset(cached, PATCH, transform)
    second = PatchDataset(cached[:1], PATCH, transform)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    one = first[request_(7)]
    assert torch.equal(torch.get_rng_state(), state)
    first[request_(8)]
    torch.manual_seed(2)
    two = second[request_(7)]
    assert torch.equal(one.image.data, two.image.data)
    assert torch.equal(one.mask.data, two.mask.data)
    assert not torch.equal(one.image.data, first[request_(8)].image.data)


def test_the_history_tells_what_was_done(cached: list[CachedCase]) -> None:
    chain = transforms.chain([transforms.RandomWarp(**TURN), transforms.RandomBrightness()])
    patch = PatchDataset(cached, PATCH, chain)[request_(0)]
    assert [step.name for step in patch.history] == ["Warp", "Brightness"]


def test_transforms_see_a_margin_that_is_cut_off(cached: list[CachedCase]) -> None:
    seen = []

    class Look(tio.transforms.augmentation.RandomTransform):
        def apply_transform(self, subject: tio.Subject) -> tio.Subject:
            seen.append(subject.spatial_shape)
            return subject

    plain = PatchDataset(cached, PATCH)
    for transform in (Look(), transforms.chain([transforms.RandomWarp(p_scaling=0), Look()])):
        dataset = PatchDataset(cached, PATCH, transform, margin=2)
        patch = dataset[request_(5)]
        assert seen.pop() == (12, 12, 12)
        assert patch.spatial_shape == PATCH
    dataset = PatchDataset(cached, PATCH, Look(), margin=2)
    assert torch.equal(dataset[request_(1)].image.data, plain[request_(1)].image.data)


def test_padding_is_warned_of(cached: list[CachedCase], recwarn: pytest.WarningsRecorder) -> None:
    affine = transforms.chain([tio.OneOf([tio.RandomAffine(), tio.RandomNoise()])])
    with pytest.warns(UserWarning, match=r"RandomAffine .*queue\.margin"):
        PatchDataset(cached, PATCH, affine)
    recwarn.clear()
    PatchDataset(cached, PATCH, affine, margin=4)
    PatchDataset(cached, PATCH, transforms.RandomWarp(**TURN))
    assert not recwarn.list


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_flat_along_their_last_axis_for_torchio(
    cached: list[CachedCase], axis: int
) -> None:
    size = tuple(1 if a == axis else 8 for a in range(3))
    seen = []

    class Look(tio.transforms.augmentation.RandomTransform):
        def apply_transform(self, subject: tio.Subject) -> tio.Subject:
            seen.append(subject.is_2d())
            return subject

    warp = transforms.RandomWarp(p_rotation=0, p_scaling=0)
    dataset = PatchDataset(cached, size, tio.Compose([warp, Look()]), margin=3)
    plain = PatchDataset(cached, size)
    for seed in range(3):
        patch = dataset[request_(seed)]
        assert patch.spatial_shape == size
        assert torch.equal(patch.image.data, plain[request_(seed)].image.data)
    assert seen == [True] * 3


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_warped_slice_stays_in_its_plane(cached: list[CachedCase], axis: int) -> None:
    """A volume whose value is the slice's number, so that a patch shows where it comes from."""
    shape = cached[0].shape
    number = np.arange(shape[axis]).reshape([-1 if a == axis else 1 for a in range(3)])
    ramp = np.broadcast_to(number + 1, (4, *shape)).astype(np.float16)
    np.save(cached[0].folder / "image.npy", ramp)
    size = tuple(1 if a == axis else 6 for a in range(3))
    warp = transforms.RandomWarp(degrees=180, **TURN, p_elastic=1)
    for seed in range(5):
        values = PatchDataset(cached, size, warp)[request_(seed, forced=True)].image.data
        inside = values[values > 0]
        whole = inside[(inside - inside.max()).abs() < 1e-2]  # off the volume's faded border
        assert float(inside.max()) == round(float(inside.max()))
        assert len(whole) > 0.5 * values.numel()


def test_huge_values_stay_finite_in_half_precision(cached: list[CachedCase]) -> None:
    bright = transforms.RandomBrightness((1e6, 1e6))
    image = PatchDataset(cached, PATCH, bright)[request_(0, forced=True)].image.data
    assert image.isfinite().all()
    assert image.abs().max() == torch.finfo(torch.float16).max


@pytest.mark.parametrize("name", ["image.npy", "mask.npy"])
def test_a_truncated_file_is_named(cached: list[CachedCase], name: str) -> None:
    file = cached[1].folder / name
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match="c1") as caught:
        PatchDataset(cached, PATCH)[request_(0, subject=1)]
    assert str(cached[1].folder) in str(caught.value.file)
    assert caught.value.remedy


def test_a_case_that_is_gone_is_named(cached: list[CachedCase]) -> None:
    dataset = PatchDataset(cached, PATCH, transforms.RandomWarp())
    dataset[request_(0)]
    shutil.rmtree(cached[0].folder)
    with pytest.raises(DataError, match="c0") as caught:
        dataset[request_(1)]
    assert caught.value.remedy


def test_files_that_do_not_fit_together_are_named(cached: list[CachedCase]) -> None:
    np.save(cached[0].folder / "mask.npy", np.zeros((3, 3, 3), np.uint8))
    with pytest.raises(DataError, match=r"c0.*mask \(3, 3, 3\)") as caught:
        PatchDataset(cached, PATCH)[request_(0)]
    assert caught.value.remedy


def test_a_case_without_mask_is_named(
    cached: list[CachedCase], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CachedCase, "mask", property(lambda self: None))
    with pytest.raises(DataError, match=r"c0.*no mask"):
        PatchDataset(cached, PATCH)[request_(0)]


def test_read_region_pads_outside() -> None:
    volume = np.arange(2 * 3 * 3 * 3, dtype=np.float16).reshape(2, 3, 3, 3)
    region = read_region(volume, (-1, 0, 2), (3, 3, 2))
    assert region.shape == (2, 3, 3, 2)
    assert np.array_equal(region[:, 1:, :, 0], volume[:, :2, :, 2])
    assert not region[:, 0].any()
    assert not region[..., 1].any()


def test_batches_are_compact(cached: list[CachedCase]) -> None:
    dataset = PatchDataset(cached, PATCH)
    batch = collate([dataset[request_(0)], dataset[request_(1, subject=1)]])
    assert batch["image"].shape == (2, 4, *PATCH)
    assert batch["image"].dtype == torch.float16
    assert batch["mask"].shape == (2, 1, *PATCH)
    assert batch["mask"].dtype == torch.uint8
    assert batch["case"] == ["c0", "c1"]
