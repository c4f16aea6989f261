import json

import nibabel as nib
import numpy as np
import pytest
from conftest import write_case
from scipy.spatial.transform import Rotation

from lightning_brats.data.case import Case, Volume
from lightning_brats.data.preprocess import Geometry, Preprocess
from lightning_brats.data.raw import RawSteps
from lightning_brats.data.reading import read_case
from lightning_brats.errors import ConfigError, DataError


def test_zscore_is_over_brain_voxels_alone(case: Case) -> None:
    volume = read_case(case)
    prepared = Preprocess()(case, volume)
    inside = prepared.image.astype(np.float64)[:, (prepared.image != 0).any(0)]
    assert np.allclose(inside.mean(1), 0, atol=2e-3)
    assert np.allclose(inside.std(1), 1, atol=2e-3)
    assert prepared.image.dtype == np.float16


def test_values_by_hand(case: Case) -> None:
    image = np.zeros((1, 3, 3, 3), np.float32)
    image[0, 1, 1, :] = [1, 2, 6]  # mean 3, standard deviation sqrt(14/3)
    only = Case("x", "x", {"t1c": case.images["t1c"]}, case.scheme)
    prepared = Preprocess()(only, Volume(image, np.eye(4), None, image[0] != 0))
    assert prepared.image.shape == (1, 1, 1, 3)
    expected = (np.array([1, 2, 6]) - 3) / np.sqrt(14 / 3)
    assert np.allclose(prepared.image[0, 0, 0], expected, atol=1e-3)


def test_minmax_and_clipping(case: Case) -> None:
    prepared = Preprocess("minmax", clip=(1, 99))(case, read_case(case))
    inside = prepared.image[:, (prepared.image != 0).any(0)]
    assert inside.min() == 0
    assert inside.max() == 1


def test_crop_is_the_brain_s_box(case: Case) -> None:
    volume = read_case(case)
    prepared = Preprocess()(case, volume)
    extent = [int(np.ptp(axis)) + 1 for axis in np.nonzero(volume.brain)]
    assert list(prepared.image.shape[1:]) == extent
    wider = Preprocess(margin=2)(case, volume)
    assert all(w <= e + 4 and w > e for w, e in zip(wider.image.shape[1:], extent, strict=True))


AXES = ["LPS", "RAS", "PIR", "SLA", "ILP"]


@pytest.mark.parametrize("axes", AXES)
def test_restore_is_the_exact_inverse_for_every_orientation(axes: str, tmp_path) -> None:
    ornt = nib.orientations.axcodes2ornt(tuple(axes))
    ras = nib.orientations.axcodes2ornt("RAS")
    turn = nib.orientations.ornt_transform(ornt, ras)
    affine = nib.orientations.inv_ornt_aff(turn, (24, 28, 20)) @ np.eye(4)
    affine = np.linalg.inv(affine)
    case = write_case(tmp_path, affine=affine)
    volume = read_case(case)
    prepared = Preprocess()(case, volume)
    assert np.array_equal(prepared.geometry.restore(prepared.mask), volume.mask)
    back = prepared.geometry.restore(prepared.image)
    assert back.shape == volume.image.shape
    assert np.array_equal(back != 0, (volume.image != 0) & (back != 0))
    assert (back != 0).any(0).sum() == volume.brain.sum()


def test_equal_anatomy_gives_equal_arrays_whatever_the_stored_axes(tmp_path) -> None:
    one = write_case(tmp_path, "one")
    volume = read_case(one)
    flipped = Volume(
        volume.image[:, ::-1],
        volume.affine @ np.array([[-1, 0, 0, 23], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]),
        volume.mask[::-1],
        volume.brain[::-1],
    )
    first, second = Preprocess()(one, volume), Preprocess()(one, flipped)
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(second.geometry.restore(second.mask), flipped.mask)


def test_oblique_affines_keep_their_spacing(case: Case) -> None:
    turned = Rotation.from_euler("xyz", [5, -8, 3], degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = turned @ np.array([[0, 2.0, 0], [1.5, 0, 0], [0, 0, 3.0]])
    volume = read_case(case)
    prepared = Preprocess()(case, Volume(volume.image, affine, volume.mask, volume.brain))
    assert prepared.geometry.spacing == pytest.approx((2.0, 1.5, 3.0))
    assert np.array_equal(prepared.geometry.restore(prepared.mask), volume.mask)


def test_geometry_survives_json(case: Case) -> None:
    geometry = Preprocess()(case, read_case(case)).geometry
    assert Geometry.from_dict(geometry.to_dict()) == geometry


def test_empty_brain_is_refused(case: Case) -> None:
    volume = read_case(case)
    empty = Volume(volume.image * 0, volume.affine, volume.mask, volume.brain & False)
    with pytest.raises(DataError, match="brain is empty"):
        Preprocess()(case, empty)


def test_constant_modality_is_refused(case: Case) -> None:
    volume = read_case(case)
    volume.image[1][volume.brain] = 7
    with pytest.raises(DataError, match="t1c is constant"):
        Preprocess()(case, volume)


def test_unknown_normalisation_is_refused() -> None:
    with pytest.raises(ConfigError, match="zscore or minmax"):
        Preprocess("zscor")


def values_of(normalisation: str, case: Case, **settings: object) -> np.ndarray:
    """0, 1, …, 100 as a brain, normalised."""
    image = np.arange(101, dtype=np.float32).reshape(1, 101, 1, 1)
    only = Case("x", "x", {"t1c": case.images["t1c"]}, case.scheme)
    volume = Volume(image, np.eye(4), None, np.ones((101, 1, 1), bool))
    return Preprocess(normalisation, **settings)(only, volume).image.ravel().astype(np.float64)


def test_percentiles_by_hand(case: Case) -> None:
    """The 1st percentile of 0 … 100 is 1, the 99th is 99."""
    expected = np.clip((np.arange(101) - 1) / 98, 0, 1)
    assert np.allclose(values_of("percentile", case), expected, atol=5e-4)
    expected = np.clip((np.arange(101) - 10) / 80, 0, 1)
    assert np.allclose(values_of("percentile", case, clip=(10, 90)), expected, atol=5e-4)


def test_histogram_standardisation_by_hand(case: Case) -> None:
    """Landmarks twice as steep below the median as above it."""
    percentiles = np.array([1, 10, 20, 25, 30, 40, 50, 60, 70, 75, 80, 90, 99.0])
    marks = np.where(percentiles <= 50, 1.4 * percentiles, 70 + 0.6 * (percentiles - 50))
    found = values_of("histogram", case, landmarks={"t1c": marks.tolist()})
    own = np.arange(101)
    expected = np.where(own <= 50, 1.4 * own, 70 + 0.6 * (own - 50)) / 100
    assert np.allclose(found, expected, atol=1e-3)


def test_an_earlier_checkpoint_s_settings_are_read(case: Case) -> None:
    earlier = {"normalisation": "minmax", "clip": [1, 99], "margin": 2}
    found = Preprocess.from_dict(earlier)
    assert found.to_dict() == earlier  # so that prepared cases keep their keys
    assert Preprocess().to_dict() == {"normalisation": "zscore", "clip": None, "margin": 0}


def test_all_settings_survive_json() -> None:
    steps = RawSteps(center="t2f", register="rigid", atlas="affine", denoise="nlm", bias="n4")
    full = Preprocess("percentile", [1, 98], 3, None, 1.5, "extract", steps)
    assert Preprocess.from_dict(json.loads(json.dumps(full.to_dict()))) == full


def test_steps_of_another_one_leave_what_was_trained_with() -> None:
    trained = Preprocess("minmax", [1, 99], 2)
    other = Preprocess("zscore", None, 0, None, 1.0, "extract", RawSteps(register="rigid"))
    assert trained.with_steps_of(other) == Preprocess(
        "minmax", [1, 99], 2, None, 1.0, "extract", RawSteps(register="rigid")
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"spacing": 0}, "spacing=0"),
        ({"spacing": 25.0}, "spacing=25"),
        ({"brain": "guess"}, "brain=guess"),
        ({"clip": [99, 1]}, "not a lower and an upper percentile"),
        ({"clip": [1]}, "not a lower and an upper percentile"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Preprocess(**settings)
