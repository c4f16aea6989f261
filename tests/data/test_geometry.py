"""The way back from a resampled grid."""

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from lightning_brats.data.geometry import Geometry, Resampled, interpolate_labels, rows

TURN = np.eye(4)
TURN[:3, :3] = Rotation.from_euler("xyz", [12, -7, 20], degrees=True).as_matrix()
NATIVE = TURN @ np.array([[-2.0, 0, 0, 30], [0, 0, 1.5, -20], [0, -3.0, 0, 40], [0, 0, 0, 1.0]])
SHAPE = (40, 24, 44)


def cubes(edge: float) -> Geometry:
    """A case on an oblique anisotropic grid, resampled to straight cubes over its middle."""
    middle = (NATIVE @ [*(np.array(SHAPE) - 1) / 2, 1])[:3]
    n = round(110 / edge)
    affine = np.diag([edge, edge, edge, 1.0])
    affine[:3, 3] = middle - edge * (n - 1) / 2
    box = ((3, n - 2), (2, n - 5), (1, n))
    return Geometry(SHAPE, rows(NATIVE), box, Resampled((n, n, n), rows(affine)))


def ball(shape: tuple[int, ...], affine: np.ndarray, centre: np.ndarray, radius: float):
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    points = index @ affine[:3, :3].T + affine[:3, 3]
    return np.sqrt(((points - centre) ** 2).sum(-1)) < radius


def on_crop(geometry: Geometry, whole: np.ndarray) -> np.ndarray:
    return whole[(..., *(slice(low, high) for low, high in geometry.box))]


CENTRE = (NATIVE @ [22, 10, 25, 1])[:3]


@pytest.mark.parametrize("edge", [1.0, 1.7])
def test_labels_return_to_within_half_a_voxel(edge: float) -> None:
    geometry = cubes(edge)
    affine = np.array(geometry.resampled.affine)
    whole = ball(geometry.resampled.shape, affine, CENTRE, 14).astype(np.uint8) * 2
    whole[ball(geometry.resampled.shape, affine, CENTRE, 8)] = 3
    back = geometry.restore(on_crop(geometry, whole))
    assert back.shape == SHAPE
    assert back.dtype == np.uint8
    for label, radius in ((3, 8), (2, 14)):
        true = ball(SHAPE, NATIVE, CENTRE, radius)
        found = back >= label if label == 2 else back == label
        offset = np.array(ndimage.center_of_mass(found)) - ndimage.center_of_mass(true)
        assert np.abs(offset).max() < 0.5
        overlap = 2 * (found & true).sum() / (found.sum() + true.sum())
        assert overlap > 0.93


def test_probabilities_are_interpolated_linearly() -> None:
    """A linear ramp in mm is the same ramp on any grid."""
    geometry = cubes(2.0)
    index = np.stack(np.meshgrid(*map(np.arange, geometry.resampled.shape), indexing="ij"), -1)
    affine = np.array(geometry.resampled.affine)
    ramp = (index @ affine[:3, :3].T + affine[:3, 3])[..., 1].astype(np.float32)
    found, native = geometry.to_native(on_crop(geometry, ramp)[None])
    assert native.resampled is None
    back = native.restore(found)[0]
    index = np.argwhere(np.ones(SHAPE))
    true = (index @ NATIVE[:3, :3].T + NATIVE[:3, 3])[:, 1].reshape(SHAPE)
    inside = native.restore(geometry.to_native(np.ones_like(on_crop(geometry, ramp)))[0]) > 0.999
    assert inside.mean() > 0.5
    assert np.abs(back - true)[inside].max() < 1e-3


def test_labels_made_on_the_file_s_voxels_are_those_of_the_probabilities() -> None:
    geometry = cubes(1.5)
    affine = np.array(geometry.resampled.affine)
    soft = ndimage.gaussian_filter(
        ball(geometry.resampled.shape, affine, CENTRE, 12).astype(np.float32), 1
    )
    found, native = geometry.to_native(on_crop(geometry, soft))
    mask = native.restore((found > 0.5).astype(np.uint8))
    assert np.array_equal(mask == 1, native.restore(found) > 0.5)


def test_a_softmax_is_background_where_the_crop_does_not_reach() -> None:
    geometry = cubes(2.0)
    size = tuple(high - low for low, high in geometry.box)
    soft = np.full((3, *size), 1 / 3, np.float32)
    found, _ = geometry.to_native(soft, background=0)
    assert np.allclose(found.sum(0), 1, atol=1e-5)
    assert found[0].max() > 0.99
    assert np.allclose(found[1], found[2])


def test_the_same_grid_is_restored_exactly() -> None:
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, (6, 7, 8)).astype(np.uint8)
    box = ((2, 8), (1, 8), (0, 8))
    resampled = Geometry((10, 9, 8), rows(affine), box, Resampled((10, 9, 8), rows(affine)))
    plain = Geometry((10, 9, 8), rows(affine), box)
    assert np.array_equal(resampled.restore(labels), plain.restore(labels))
    soft = rng.random((2, 6, 7, 8)).astype(np.float32)
    assert np.allclose(resampled.restore(soft), plain.restore(soft), atol=1e-6)


def test_without_resampling_nothing_is_touched() -> None:
    plain = Geometry((10, 9, 8), rows(np.eye(4)), ((2, 8), (1, 8), (0, 8)))
    soft = np.random.default_rng(0).random((2, 6, 7, 8)).astype(np.float16)
    found, same = plain.to_native(soft)
    assert found is soft
    assert same is plain


def test_voxels_are_as_large_as_in_the_patient() -> None:
    """An atlas stretches; volumes and distances are the patient's."""
    affine = np.diag([0.9, 1.1, 1.0, 1.0])
    stretched = Geometry(
        (9, 9, 9), rows(np.eye(4)), ((0, 9),) * 3, Resampled((9, 9, 9), rows(affine))
    )
    assert stretched.spacing == pytest.approx((0.9, 1.1, 1.0))


def test_a_crop_beside_the_file_s_grid_restores_to_nothing() -> None:
    affine = nib.affines.from_matvec(np.eye(3), [500, 0, 0])
    beside = Geometry((9, 9, 9), rows(np.eye(4)), ((0, 9),) * 3, Resampled((9, 9, 9), rows(affine)))
    assert not beside.restore(np.ones((9, 9, 9), np.float32)).any()


def test_geometry_survives_json_with_and_without_resampling() -> None:
    geometry = cubes(1.0)
    assert Geometry.from_dict(geometry.to_dict()) == geometry
    earlier = {k: v for k, v in geometry.to_dict().items() if k != "resampled"}
    assert Geometry.from_dict(earlier).resampled is None


def test_the_larger_share_wins_by_hand() -> None:
    """Halfway between a 1 and a 2 that has a 2 on its other side too: by thirds."""
    labels = np.zeros((4, 1, 1), np.uint8)
    labels[:, 0, 0] = 1, 2, 2, 0
    shift = np.eye(4)
    shift[0, 3] = 1 / 3  # a third of the way to the next voxel
    assert interpolate_labels(labels, shift, (4, 1, 1)).ravel().tolist() == [1, 2, 2, 0]
    shift[0, 3] = 0.6
    assert interpolate_labels(labels, shift, (4, 1, 1)).ravel().tolist() == [2, 2, 0, 0]
