"""The one interpolation: where voxels come from, image and mask alike."""

import math

import numpy as np
import pytest
import torch
import torchio as tio
from scipy import ndimage

from lightning_brats.data.transforms import RandomWarp, Warp, leading_warp
from lightning_brats.data.transforms.random_warp import FOLDING
from lightning_brats.data.transforms.warp import rotation

SHAPE = (20, 24, 18)
ALWAYS = {"p_rotation": 1, "p_scaling": 1, "p_elastic": 1}


def subject(volume: np.ndarray, mask: np.ndarray | None = None) -> tio.Subject:
    image = torch.from_numpy(np.asarray(volume, np.float32))[None]
    labels = torch.zeros_like(image) if mask is None else torch.from_numpy(mask)[None]
    return tio.Subject(
        image=tio.ScalarImage(tensor=image), mask=tio.LabelMap(tensor=labels.to(torch.uint8))
    )


def blob(shape: tuple = SHAPE, centre: tuple = (11, 9, 8), width: float = 4) -> np.ndarray:
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), -1)
    return np.exp(-(((grid - np.asarray(centre)) / width) ** 2).sum(-1) / 2)


def noise(shape: tuple = SHAPE, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return ndimage.gaussian_filter(rng.standard_normal(shape), 1.5).astype(np.float32)


def test_nothing_gives_exactly_the_input() -> None:
    before = subject(noise(), (noise(seed=1) > 0).astype(np.uint8))
    after = Warp()(before)
    assert torch.equal(after.image.data, before.image.data)
    assert torch.equal(after.mask.data, before.mask.data)
    assert RandomWarp(p_rotation=0, p_scaling=0).draw(SHAPE) is None


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_quarter_turn_is_numpy_s(axis: int) -> None:
    volume = noise((16, 16, 16))
    mask = np.random.default_rng(1).integers(0, 4, (16, 16, 16)).astype(np.uint8)
    degrees = [90 if a == axis else 0 for a in range(3)]
    after = Warp(degrees)(subject(volume, mask))
    # Places turn from one axis to the next; the content of the image turns the other way.
    plane = ((axis + 2) % 3, (axis + 1) % 3)
    assert np.allclose(after.image.numpy()[0], np.rot90(volume, 1, plane), atol=1e-4)
    assert np.array_equal(after.mask.numpy()[0], np.rot90(mask, 1, plane))


def test_rotation_and_scaling_are_scipy_s() -> None:
    volume = noise()
    warp = Warp((10, -20, 30), 0.8)
    matrix = rotation(np.radians([10, -20, 30])) * 0.8
    middle = (np.asarray(SHAPE) - 1) / 2
    offset = middle - matrix @ middle
    expected = ndimage.affine_transform(volume, matrix, offset, order=1, mode="constant")
    inside = ndimage.affine_transform(np.ones(SHAPE), matrix, offset, order=1, mode="constant") == 1
    found = warp(subject(volume)).image.numpy()[0]
    assert inside.mean() > 0.5
    assert np.allclose(found[inside], expected[inside], atol=1e-4)


def test_scaling_above_one_makes_things_smaller() -> None:
    before = blob(centre=(9.5, 11.5, 8.5)) > 0.5
    after = Warp(scaling=1.4)(subject(before, before.astype(np.uint8))).mask.numpy()[0]
    assert after.sum() == pytest.approx(before.sum() / 1.4**3, rel=0.15)


def test_elastic_deformation_is_torchio_s() -> None:
    torch.manual_seed(0)
    shape = (32, 30, 28)
    volume = noise(shape)
    points = tio.RandomElasticDeformation.get_params((7, 7, 7), (2.0, 2.0, 2.0), 2)
    fixed = tio.transforms.augmentation.spatial.random_elastic_deformation.ElasticDeformation
    theirs = fixed(points, (2.0, 2.0, 2.0))(subject(volume)).image.numpy()[0]
    # ITK counts x and y to the left and back, voxels go to the right and front; its first array
    # axis of parameters runs along the image's x from the left end, which is our last voxel.
    ours = Warp(control_points=points[::-1, ::-1] * np.array([-1, -1, 1]))(subject(volume))
    inner = (slice(3, -3),) * 3
    difference = np.abs(ours.image.numpy()[0] - theirs)[inner]
    moved = np.abs(volume - theirs)[inner]
    assert moved.mean() > 20 * difference.mean()


def test_elastic_deformation_takes_voxels_from_where_the_spline_says() -> None:
    """B-spline values by their definition, image values by SciPy."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-1.5, 1.5, (6, 6, 6, 3))
    volume = noise()

    def bump(t: np.ndarray) -> np.ndarray:
        t = np.abs(t)
        return np.where(t < 1, 2 / 3 - t**2 + t**3 / 2, np.where(t < 2, (2 - t) ** 3 / 6, 0))

    weights = []
    for n in SHAPE:
        place = (np.arange(n) + 0.5) / n * 3
        weights.append(bump(place[:, None] - (np.arange(6) - 1)))
    moved = np.einsum("ijke,xi,yj,zk->exyz", points, *weights)
    places = np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij")) + moved
    expected = ndimage.map_coordinates(volume, places, order=1, mode="constant")
    inside = ndimage.map_coordinates(np.ones(SHAPE), places, order=1, mode="constant") == 1
    found = Warp(control_points=points)(subject(volume)).image.numpy()[0]
    assert np.allclose(found[inside], expected[inside], atol=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_image_and_mask_stay_aligned(seed: int) -> None:
    volume = blob()
    mask = (volume > 0.5).astype(np.uint8)
    torch.manual_seed(seed)
    after = RandomWarp(**ALWAYS)(subject(volume, mask))
    found, image = after.mask.numpy()[0] > 0, after.image.numpy()[0]
    assert found.sum() > 20
    assert (found != (image > 0.5)).sum() < 0.2 * found.sum()
    # Off the border, where interpolation is no matter, there is no difference at all.
    assert found[image > 0.62].all()
    assert not found[image < 0.38].any()


def test_masks_get_no_new_labels() -> None:
    labels = np.random.default_rng(0).choice([0, 1, 4], SHAPE).astype(np.uint8)
    torch.manual_seed(0)
    after = RandomWarp(**ALWAYS)(subject(labels, labels))
    assert set(np.unique(after.mask.numpy())) == {0, 1, 4}
    assert after.mask.data.dtype == torch.uint8


def test_probabilities_and_ranges() -> None:
    torch.manual_seed(0)
    random = RandomWarp(
        degrees=30, scaling=(0.7, 1.4), p_rotation=0.2, p_scaling=0.3, p_elastic=0.1
    )
    drawn = [random.draw((64, 64, 64)) for _ in range(2000)]
    warps = [warp for warp in drawn if warp]
    turned = np.array([w.degrees for w in warps if any(w.degrees)])
    scaled = np.array([w.scaling for w in warps if w.scaling != 1])
    bent = [w.control_points for w in warps if w.control_points is not None]
    assert len(turned) / 2000 == pytest.approx(0.2, abs=0.03)
    assert len(scaled) / 2000 == pytest.approx(0.3, abs=0.035)
    assert len(bent) / 2000 == pytest.approx(0.1, abs=0.025)
    assert len(warps) / 2000 == pytest.approx(1 - 0.8 * 0.7 * 0.9, abs=0.035)
    assert np.abs(turned).max() <= 30
    assert np.allclose(turned.mean(0), 0, atol=3)
    assert np.allclose(turned.std(0), 60 / math.sqrt(12), atol=1.5)
    assert 0.7 <= scaled.min() < 0.72
    assert 1.38 < scaled.max() <= 1.4
    points = np.stack(bent)
    limit = FOLDING * 64 / 4  # 6.4 voxels: less than the 7.5 allowed
    assert 0.99 * limit < np.abs(points).max() <= limit
    assert points.mean() == pytest.approx(0, abs=0.05)


def test_p_limits_the_whole() -> None:
    torch.manual_seed(0)
    random = RandomWarp(p=0.5, p_rotation=1)
    planned = sum(random.plan(SHAPE) is not None for _ in range(1000))
    assert planned / 1000 == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("shape", [(48, 48, 48), (128, 96, 20)])
def test_space_never_folds(shape: tuple) -> None:
    torch.manual_seed(0)
    random = RandomWarp(max_displacement=1000, p_rotation=0, p_scaling=0, p_elastic=1)
    for _ in range(3):
        warp = random.draw(shape)
        places = warp.grid(shape, (0, 0, 0), (2, 2, 2)).numpy()[..., ::-1]  # offsets in voxels
        gradients = np.stack(np.gradient(places, axis=(0, 1, 2)), -1)
        assert np.linalg.det(gradients).min() > 0


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("size", [(16, 12, 20), (16, 1, 20)])
def test_the_source_box_holds_every_place_and_not_much_more(seed: int, size: tuple) -> None:
    torch.manual_seed(seed)
    corner = (5, -7, 30)
    warp = RandomWarp(**ALWAYS).draw(size)
    low, high = warp.source(corner, size)
    middle = np.asarray(corner) + (np.asarray(size) - 1) / 2
    grid = warp.grid(size, middle - low, high - low).numpy()[..., ::-1]
    places = ((grid + 1) * (high - low) - 1) / 2 + low
    thick = np.asarray(size) > 1
    assert (places.min((0, 1, 2)) >= low - 1e-3).all()
    assert (places.max((0, 1, 2)) <= high - 1 + 1e-3).all()
    spread = np.ptp(places, axis=(0, 1, 2))
    assert ((high - low)[thick] <= spread[thick] + 4 + 4 * 7.5).all()
    assert ((high - low)[~thick] == 1).all()
    still = Warp(scaling=1.4).source(corner, size)
    exact = np.where(thick, 1.4 * (np.asarray(size) - 1), 0)
    assert (still[1] - still[0] <= exact + 5).all()


def test_a_box_read_from_a_volume_gives_the_volume_s_own_warp() -> None:
    """Warping a whole volume and cutting is the same as cutting what is needed and warping."""
    torch.manual_seed(1)
    volume, size, corner = noise((40, 36, 44)), (12, 14, 10), (13, 8, 20)
    warp = RandomWarp(max_displacement=3, **ALWAYS).draw(size)
    low, high = warp.source(corner, size)
    middle = np.asarray(corner) + (np.asarray(size) - 1) / 2
    assert (low >= 0).all()
    assert (high <= volume.shape).all()
    whole = warp.aimed(size, middle)(subject(volume))
    region = volume[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    part = warp.aimed(size, middle - low)(subject(region))
    assert part.spatial_shape == size
    assert np.allclose(whole.image.numpy(), part.image.numpy(), atol=1e-4)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slice_is_turned_and_scaled_in_its_plane(axis: int) -> None:
    plane = noise((21, 21))
    volume = np.expand_dims(plane, axis)
    torch.manual_seed(0)
    warp = RandomWarp(degrees=(90, 90), **{**ALWAYS, "p_elastic": 0, "p_scaling": 0}).draw(
        volume.shape
    )
    found = warp(subject(volume)).image.numpy()[0].squeeze(axis)
    turns = [np.rot90(plane, k) for k in (1, 3)]
    assert any(np.allclose(found, turn, atol=1e-4) for turn in turns)
    bent = RandomWarp(**ALWAYS).draw(volume.shape)(subject(np.ones_like(volume)))
    assert bent.image.data[0].squeeze(axis)[8:13, 8:13].allclose(torch.ones(5, 5))


def test_the_inverse_undoes_rotation_and_scaling() -> None:
    volume = blob((48, 48, 48), (28, 30, 20), width=5)
    warp = Warp((20, -10, 15), 0.9)
    there = warp(subject(volume))
    back = there.apply_inverse_transform(warn=False)
    assert np.abs(there.image.numpy()[0] - volume).max() > 0.2
    assert np.abs(back.image.numpy()[0] - volume).max() < 0.06
    assert not Warp(control_points=np.zeros((5, 5, 5, 3))).is_invertible()


def test_the_history_repeats_a_patch_from_its_source() -> None:
    torch.manual_seed(0)
    source = subject(noise((30, 30, 30)))
    warp = RandomWarp(**ALWAYS).draw((10, 10, 10)).aimed((10, 10, 10), (14, 15, 16))
    patch = warp(source)
    again = patch.get_composed_history()(source)
    assert torch.equal(again.image.data, patch.image.data)


def test_only_a_warp_in_front_is_asked_for_its_source() -> None:
    warp, flip = RandomWarp(), tio.RandomFlip()
    assert leading_warp(tio.Compose([warp, flip])) == (warp, [flip])
    assert leading_warp(warp) == (warp, [])
    assert leading_warp(flip) == (None, [flip])
    assert leading_warp(None) == (None, [])
    sometimes = tio.Compose([warp, flip], p=0.5)
    assert leading_warp(sometimes) == (None, [sometimes])
