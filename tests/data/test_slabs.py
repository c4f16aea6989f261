"""Slices as training sees them, with and without neighbours, against the volume cut by hand."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import torchio as tio
from conftest import write_case
from omegaconf import DictConfig, OmegaConf

from lightning_brats.augment import augment_
from lightning_brats.data import transforms as own
from lightning_brats.data.cache import Cache, CachedCase
from lightning_brats.data.datamodule import BratsDataModule
from lightning_brats.data.patches import PatchDataset
from lightning_brats.data.preprocess import Preprocess
from lightning_brats.data.queue import PatchQueue, QueueSettings, collate_patches
from lightning_brats.data.sampling import PatchPlan, PatchRequest
from lightning_brats.data.sources import CaseSource
from lightning_brats.data.splits import make_split
from lightning_brats.errors import ConfigError
from lightning_brats.experiment import configure
from lightning_brats.parts import build

BIG = (32, 32, 1)
"""Larger than the volumes, so that a patch is a whole slice, surrounded by zeros."""
IN_PLANE = ("warp", "blur", "brightness", "low_resolution", "mirror")
"""Of the standard set: what does to a slice the same, whatever else is in its slab."""


@pytest.fixture
def cached(tmp_path: Path) -> list[CachedCase]:
    cache = Cache(tmp_path / "cache", Preprocess())
    return [cache.get(write_case(tmp_path, f"c{i}", seed=i)) for i in range(2)]


@cache
def _composed(name: str) -> DictConfig:
    return configure(f"augmentation={name}").augmentation


def preset(name: str, without: Sequence[str] = (), **settings: object) -> own.Chain:
    """A preset with other settings, and some of its transforms left out."""
    cfg = _composed(name).copy()
    for other in without:
        cfg.transforms[other] = None
    return build(OmegaConf.merge(cfg, settings))


def request_(seed: int, **settings: object) -> PatchRequest:
    return PatchRequest(subject=0, forced=False, seed=seed, **settings)


def slab_by_hand(case: CachedCase, axis: int, place: int, neighbours: int) -> np.ndarray:
    """(C * S, a, b): modality by modality the slices around a place, zero beyond the volume."""
    image = np.asarray(case.image)
    length = image.shape[1 + axis]
    slices = [
        np.take(image, p, 1 + axis) if 0 <= p < length else np.zeros_like(image.take(0, 1 + axis))
        for p in range(place - neighbours, place + neighbours + 1)
    ]
    return np.stack([each[c] for c in range(len(image)) for each in slices])


def place_in(patch: np.ndarray, plane: np.ndarray) -> tuple[slice, ...]:
    """Where the plane (..., a, b) lies in a patch that it is smaller than."""
    for x in range(patch.shape[-2] - plane.shape[-2] + 1):
        for y in range(patch.shape[-1] - plane.shape[-1] + 1):
            box = (..., slice(x, x + plane.shape[-2]), slice(y, y + plane.shape[-1]))
            if np.array_equal(patch[box], plane):
                return box
    raise AssertionError("the slice is not in the patch")


@pytest.mark.parametrize("neighbours", [0, 1, 2])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_of_the_queue_are_those_of_the_volume(
    cached: list[CachedCase], axis: int, neighbours: int
) -> None:
    """Every slice, the first and last included; the mask is the middle slice's."""
    dataset = PatchDataset(cached, BIG, neighbours=neighbours, axes=[axis])
    case, length = cached[0], cached[0].shape[axis]
    assert dataset.channels == 4 * (2 * neighbours + 1)
    for place in {0, 1, length // 2, length - 1}:
        only = (place, place + 1) if place else (0, 0.5 / length)  # up to 1 they are shares
        subject = dataset[request_(place, slices=only)]
        found, mask = subject.image.data[..., 0].numpy(), subject.mask.data[0, ..., 0].numpy()
        expected = slab_by_hand(case, axis, place, neighbours)
        box = place_in(found, expected)
        assert np.array_equal(mask[box], np.take(case.mask, place, axis))
        assert np.count_nonzero(found) == np.count_nonzero(expected)
        assert np.count_nonzero(mask) == np.count_nonzero(np.take(case.mask, place, axis))


@pytest.mark.parametrize("workers", [0, 1])
def test_slices_along_all_axes_come_in_one_batch(cached: list[CachedCase], workers: int) -> None:
    """Each is a slice of its case that holds tumour and lies in the range; all axes come."""
    plan = PatchPlan(2, 30, 0.0, 6, tumour=1.0, slices=(0.25, 0.75))
    queue = PatchQueue(PatchDataset(cached, BIG, neighbours=1, axes=[0, 1, 2]), plan, workers)
    axes, known = [], {case.meta["case"]: _slabs(case) for case in cached}
    for start in range(0, 60, 6):
        batch = collate_patches(queue.__getitems__(range(start, start + 6)))
        assert batch["image"].shape == (6, 12, 32, 32, 1)
        assert batch["mask"].shape == (6, 1, 32, 32, 1)
        for name, image, mask in zip(batch["case"], batch["image"], batch["mask"], strict=True):
            axis, place, length, labels = known[name][_values(image.numpy())]
            axes.append(axis)
            assert int(0.25 * length) <= place < -(-3 * length // 4)
            assert labels.any()
            assert mask.flatten().bincount().tolist()[1:] == np.bincount(labels.flat).tolist()[1:]
    queue.close()
    assert all(10 <= axes.count(axis) <= 30 for axis in range(3))  # 20 each, by lot


def _slabs(case: CachedCase) -> dict[bytes, tuple[int, int, int, np.ndarray]]:
    """Axis, place, slices along the axis and labels of every slice, by its slab's values."""
    return {
        _values(slab_by_hand(case, axis, place, 1)): (
            axis,
            place,
            case.shape[axis],
            np.take(case.mask, place, axis),
        )
        for axis in range(3)
        for place in range(case.shape[axis])
    }


def _values(slab: np.ndarray) -> bytes:
    """Of each channel all that are not zero; which slice it is, wherever it lies in a patch."""
    return b"|".join(np.sort(channel[channel != 0]).tobytes() for channel in slab)


@pytest.mark.parametrize("axis", [0, 2])
def test_a_slab_is_augmented_as_its_slices_would_be(cached: list[CachedCase], axis: int) -> None:
    """Same draws in the plane: the slab's slices are the three slices, each augmented alone."""
    chain = preset("standard", [n for n in _composed("standard").transforms if n not in IN_PLANE])
    assert len(chain.transforms) == len(IN_PLANE) + 2
    changed = 0
    for seed in range(12):
        place = cached[0].shape[axis] // 2
        slab = _augmented(cached, chain, axis, place, 1, seed)
        alone = [_augmented(cached, chain, axis, p, 0, seed) for p in (place - 1, place, place + 1)]
        expected = torch.stack([one.image.data for one in alone], 1).flatten(0, 1)
        assert torch.equal(slab.image.data, expected)
        assert torch.equal(slab.mask.data, alone[1].mask.data)
        changed += bool(slab.history)
    assert changed > 6


def _augmented(
    cached: list[CachedCase], chain: tio.Transform, axis: int, place: int, n: int, seed: int
) -> tio.Subject:
    dataset = PatchDataset(cached, (16, 16, 1), chain, neighbours=n, axes=[axis])
    return dataset[request_(seed, slices=(place, place + 1))]


def test_intensities_change_alike_in_all_slices(cached: list[CachedCase]) -> None:
    """On slices that are all the same, whatever is done leaves them the same; but noise."""
    _make_alike(cached)
    inside = request_(4, slices=(4, 12))
    names = ("noise", "gamma", "gamma_inverted", "contrast", "bias_field", "anisotropy")
    for name in names:
        chain = _only(name)
        channels = PatchDataset(cached, (16, 16, 1), chain, neighbours=1)[inside].image.data
        slices = channels.float().unflatten(0, (4, 3))  # (C, S, ...)
        plain = PatchDataset(cached, (16, 16, 1), neighbours=1)[inside].image.data
        assert not torch.equal(channels, plain), name
        same = torch.equal(slices[:, 0], slices[:, 1]) and torch.equal(slices[:, 1], slices[:, 2])
        assert same == (name != "noise"), name


def _make_alike(cached: list[CachedCase]) -> None:
    """Volumes whose axial slices are all the middle one."""
    for case in cached:
        image = np.array(case.image)
        middle = image.shape[3] // 2
        np.save(
            case.folder / "image.npy", np.repeat(image[..., middle : middle + 1], image.shape[3], 3)
        )


def _only(name: str) -> own.Chain:
    others = [other for other in _composed("full").transforms if other != name]
    return preset("full", others, transforms={name: {"p": 1}})


@pytest.mark.parametrize("name", ["motion", "ghosting", "spike"])
def test_torchio_s_artefacts_are_drawn_once_for_a_slab(cached: list[CachedCase], name: str) -> None:
    _make_alike(cached)
    chain = _only(name)
    inside = request_(2, slices=(6, 10))  # where all neighbours are in the volume
    found = PatchDataset(cached, (16, 16, 1), chain, neighbours=2)[inside]
    slices = found.image.data.unflatten(0, (4, 5))
    plain = PatchDataset(cached, (16, 16, 1), neighbours=2)[inside]
    assert not torch.equal(found.image.data, plain.image.data)
    assert all(torch.equal(slices[:, 0], slices[:, number]) for number in range(1, 5))
    assert found.applied_transforms
    assert not found.image.data[:, (plain.image.data == 0).all(0)].any()  # keep_background


@pytest.mark.parametrize("name", ["full", "mri_artifacts", "standard"])
def test_middle_slices_keep_their_mask(cached: list[CachedCase], name: str) -> None:
    """The mask that is learnt is that of the slice alone, mirrored and warped with it."""
    full = _composed("full").transforms  # which works in the workers, because of the motion
    kept = ("warp", "motion", "mirror")
    chain = preset(name, [n for n in full if n not in kept] if name == "full" else [])
    for seed in range(12):
        slab = PatchDataset(cached, (16, 16, 1), chain, neighbours=1)[request_(seed)]
        alone = PatchDataset(cached, (16, 16, 1), chain)[request_(seed)]
        assert torch.equal(slab.mask.data, alone.mask.data)
        assert slab.image.data.shape == (12, 16, 16, 1)
        assert slab.image.data.dtype == torch.float16


@pytest.mark.parametrize("name", ["standard", "flips"])
@pytest.mark.parametrize("axes", [[2], [0, 1, 2]])
def test_the_device_makes_the_slab_that_a_worker_makes(
    cached: list[CachedCase], name: str, axes: list[int]
) -> None:
    chain = preset(name, device=True)
    settings = {"transform": chain, "neighbours": 1, "axes": axes}
    worker = PatchDataset(cached, (16, 16, 1), **settings)
    device = PatchDataset(cached, (16, 16, 1), **settings, on_device=True)
    for seed in range(12):
        done, left = worker[request_(seed)], device[request_(seed)]
        image, mask = left.image.data[None], left.mask.data[None]
        augment_(image, mask, [left["augmentation"]])
        assert torch.equal(image[0], done.image.data)
        assert torch.equal(mask[0], done.mask.data)


@pytest.mark.parametrize("on_device", [False, True])
def test_a_modality_goes_with_all_its_slices(cached: list[CachedCase], on_device: bool) -> None:
    for case in cached:
        np.save(case.folder / "image.npy", np.ones_like(case.image))
    chain = own.chain([own.RandomModalityDropout(0.5)])
    dataset = PatchDataset(cached, (8, 8, 1), chain, on_device=on_device, neighbours=1)
    seen = set()
    for seed in range(20):
        subject = dataset[request_(seed, slices=(4, 8))]
        image = subject.image.data[None]
        if on_device:
            augment_(image, subject.mask.data[None], [subject["augmentation"]])
        slices = image[0].unflatten(0, (4, 3)).flatten(2).any(-1)  # (C, S)
        assert torch.equal(slices, slices[:, :1].expand(4, 3))
        seen.add(tuple(slices[:, 0].tolist()))
    assert len(seen) > 4


def test_background_stays_zero_in_each_slice(cached: list[CachedCase]) -> None:
    """Also where a neighbour has brain."""
    chain = own.chain([own.RandomGaussianNoise(std=(1, 1))], keep_background=True)
    changed = PatchDataset(cached, BIG, chain, neighbours=1)[request_(0, slices=(0, 1e-6))]
    plain = PatchDataset(cached, BIG, neighbours=1)[request_(0, slices=(0, 1e-6))]
    for number in range(3):
        brain = (plain.image.data[number::3] != 0).any(0)
        assert not changed.image.data[number::3][:, ~brain].any()
    assert not plain.image.data[0::3].any()  # before the first slice there is nothing
    assert not torch.equal(changed.image.data, plain.image.data)


def test_bytes_in_flight_count_every_channel(cached: list[CachedCase]) -> None:
    queue = PatchQueue(PatchDataset(cached, (16, 16, 1), neighbours=1), PatchPlan(2, 4, 0.3, 2))
    assert queue.patch_bytes == 16 * 16 * (2 * 12 + 1)


def test_a_margin_without_a_transform_is_none(cached: list[CachedCase]) -> None:
    """There is nothing to cut off afterwards."""
    assert PatchDataset(cached, (8, 8, 1), margin=3)[request_(0)].spatial_shape == (8, 8, 1)


def test_no_patient_has_slices_on_two_sides(tmp_path: Path) -> None:
    """Two examinations of each of eight patients."""
    cases = tuple(
        write_case(tmp_path, f"p{number // 2}_{number % 2}", patient=f"p{number // 2}", seed=number)
        for number in range(16)
    )
    source = CaseSource("pairs", cases)
    queue = QueueSettings((16, 16, 1), 4, 6, workers=0, neighbours=1, axes=("axial", "coronal"))
    split = make_split(source.outline(), validation=0.25, test=0.25, seed=1)
    data = BratsDataModule(source, queue=queue, split=split, cache=tmp_path / "cache")
    data.prepare_data()
    trained = {name.split("_")[0] for batch in data.train_dataloader() for name in batch["case"]}
    held_back = {name.split("_")[0] for name in (*split.validation, *split.test)}
    assert trained | held_back == {f"p{number}" for number in range(8)}
    assert len(held_back) == 4
    assert not trained & held_back
    data.teardown("fit")


@pytest.mark.parametrize(
    "wrong", [{"neighbours": -1}, {"neighbours": 1, "patch_size": (8, 8, 8)}, {"axes": ("x",)}]
)
def test_settings_that_cannot_be(wrong: dict) -> None:
    with pytest.raises(ConfigError, match=r"queue\.(neighbours|axes)"):
        QueueSettings(**({"patch_size": (8, 8, 1)} | wrong))
