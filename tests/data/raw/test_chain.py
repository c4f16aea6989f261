"""Whole chains from files to arrays and back, on scans of a head whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from made_scans import CLINICAL, STILL, Scanned, head_points, labels, motion, sample, write_nifti
from scipy import ndimage

from lightning_brats.data.cache import Cache
from lightning_brats.data.case import Case, ImageRef
from lightning_brats.data.preprocess import Preprocess
from lightning_brats.data.raw import RawSteps
from lightning_brats.data.reading import read_case, read_native
from lightning_brats.errors import ConfigError, DataError

REGISTERED = RawSteps(register="rigid")


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Four grids, a head that moved; the mask is drawn on the FLAIR."""
    return write_nifti(tmp_path_factory.mktemp("raw") / "head", mask="t2f")


@pytest.fixture(scope="module")
def prepared(case: Case):
    preprocess = Preprocess(spacing=2.0, raw=REGISTERED)
    volume = preprocess.read(case)
    return volume, preprocess(case, volume)


def true_image(modality: str, volume, world: np.ndarray) -> np.ndarray:
    """What a still head gives on the prepared grid."""
    x, y, z = volume.image.shape[1:]
    return sample(modality, (x, y, z), world @ volume.affine)


def test_modalities_are_brought_together(prepared) -> None:
    """Each channel shows what one scanner had measured of the head where it lay in the t1c."""
    volume, _ = prepared
    assert not volume.warnings
    inside = ndimage.binary_erosion(volume.brain, iterations=3)
    for modality, channel in zip(("t1n", "t1c", "t2w", "t2f"), volume.image, strict=True):
        true = true_image(modality, volume, STILL)
        assert np.corrcoef(channel[inside], true[inside])[0, 1] > 0.93, modality


def test_voxels_are_cubes_of_the_wanted_size(prepared) -> None:
    volume, ready = prepared
    assert nib.affines.voxel_sizes(volume.affine) == pytest.approx(2.0)
    assert ready.geometry.spacing == pytest.approx((2.0, 2.0, 2.0), abs=1e-6)
    assert nib.aff2axcodes(volume.affine) == ("R", "A", "S")
    whole = 4 / 3 * np.pi * np.prod((38, 46, 34)) / 1000
    assert volume.brain.sum() * 8 / 1000 == pytest.approx(whole, rel=0.06)


def test_masks_move_with_the_scan_they_were_drawn_on_and_return_to_it(case, prepared) -> None:
    volume, ready = prepared
    x, y, z = volume.image.shape[1:]
    true = labels((x, y, z), volume.affine)
    shift = np.array(ndimage.center_of_mass(volume.mask > 0)) - ndimage.center_of_mass(true > 0)
    assert np.linalg.norm(2.0 * shift) < 1.0  # mm; the slices of the FLAIR are 5 mm thick
    drawn = nib.load(case.mask)
    back = ready.geometry.restore(ready.mask)
    assert back.shape == drawn.shape
    assert np.allclose(ready.geometry.affine, drawn.affine)
    found, wanted = back > 0, np.asarray(drawn.dataobj) > 0
    offset = np.array(ndimage.center_of_mass(found)) - ndimage.center_of_mass(wanted)
    assert np.abs(offset).max() < 0.25
    assert 2 * (found & wanted).sum() / (found.sum() + wanted.sum()) > 0.9


def test_a_case_without_a_mask_returns_to_its_centre(case: Case) -> None:
    preprocess = Preprocess(spacing=3.0, raw=RawSteps(center="t2w"))
    bare = replace(case, mask=None)
    ready = preprocess(bare, preprocess.read(bare))
    centre = nib.load(case.images["t2w"].path)
    assert ready.mask is None
    assert ready.geometry.shape == centre.shape
    assert np.allclose(ready.geometry.affine, centre.affine)


def test_registering_alone_keeps_the_mask_s_voxels_exactly(case: Case) -> None:
    preprocess = Preprocess(raw=REGISTERED)
    volume = preprocess.read(case)
    ready = preprocess(case, volume)
    assert volume.native is None
    assert ready.geometry.resampled is None
    drawn = np.asarray(nib.load(case.mask).dataobj)
    assert np.array_equal(volume.mask, drawn)
    assert np.array_equal(ready.geometry.restore(ready.mask), drawn)
    moved = CLINICAL["t2f"].moved
    true = sample("t1c", drawn.shape, CLINICAL["t2f"].affine, moved)
    inside = ndimage.binary_erosion(volume.brain, iterations=2)
    assert np.corrcoef(volume.image[1][inside], true[inside])[0, 1] > 0.9


def test_equal_grids_without_moving_steps_stay_exact(tmp_path: Path) -> None:
    same = {modality: Scanned() for modality in CLINICAL}
    case = write_nifti(tmp_path / "same", same)
    plain, denoised = Preprocess(), Preprocess(brain="nonzero", raw=RawSteps(denoise="median"))
    first, second = plain.read(case), denoised.read(case)
    assert np.array_equal(first.brain, second.brain)
    assert not np.array_equal(first.image, second.image)
    ready = denoised(case, second)
    assert np.array_equal(ready.geometry.restore(ready.mask), read_case(case).mask)


def test_spacing_there_and_back(tmp_path: Path) -> None:
    """A stripped scan on finer cubes has the same intensities, its rim too."""
    same = {modality: Scanned() for modality in CLINICAL}
    case = write_nifti(tmp_path / "same", same)
    preprocess = Preprocess(spacing=1.25)
    volume = preprocess.read(case)
    ready = preprocess(case, volume)
    own = read_case(case)
    for channel, image in zip(volume.image, own.image, strict=True):
        inside = channel[volume.brain]
        assert inside.min() > 0.8 * image[own.brain].min()
        assert inside.mean() == pytest.approx(image[own.brain].mean(), rel=0.01)
    back = ready.geometry.restore((ready.image != 0).any(0).astype(np.float32)) > 0.5
    assert 2 * (back & own.brain).sum() / (back.sum() + own.brain.sum()) > 0.98


def test_a_given_brain_mask_moves_with_its_scan(tmp_path: Path) -> None:
    case = write_nifti(tmp_path / "head")
    how = CLINICAL["t1n"]
    path = tmp_path / "brain.nii.gz"
    inside = sample("t1n", how.shape, how.affine, how.moved) > 0
    nib.save(nib.Nifti1Image(inside.astype(np.uint8), how.affine), path)
    preprocess = Preprocess(spacing=2.5, brain="provided", raw=REGISTERED)
    volume = preprocess.read(replace(case, brain=path))
    middle = np.argwhere(volume.brain).mean(0)
    assert np.linalg.norm((volume.affine @ [*middle, 1])[:3]) < 1.0
    assert volume.brain.sum() * 2.5**3 == pytest.approx(4 / 3 * np.pi * 38 * 46 * 34, rel=0.03)


def test_a_provided_brain_that_is_not_there(case: Case) -> None:
    with pytest.raises(DataError, match="no brain mask") as error:
        Preprocess(brain="provided").read(case)
    assert f"Case {case.case}" in str(error.value)
    assert "extract" in str(error.value)


def unrelated(case: Case, folder: Path) -> Case:
    """The case with noise for a T2."""
    noise = np.random.default_rng(0).normal(500, 80, (40, 40, 40)).astype(np.float32)
    path = folder / "noise.nii.gz"
    nib.save(nib.Nifti1Image(noise, np.diag([2.5, 2.5, 2.5, 1])), path)
    return replace(case, images={**case.images, "t2w": ImageRef(path)})


def test_a_failed_registration_is_flagged_or_refused(case: Case, tmp_path: Path) -> None:
    wrong = unrelated(case, tmp_path).with_modalities(["t1c", "t2w"])
    preprocess = Preprocess(spacing=3.0, brain="nonzero", raw=REGISTERED)
    volume = preprocess.read(wrong)
    assert len(volume.warnings) == 1
    assert "registration of t2w to t1c is poor" in volume.warnings[0]
    assert preprocess(wrong, volume).warnings == volume.warnings
    strict = replace(preprocess, raw=replace(REGISTERED, on_poor_registration="error"))
    with pytest.raises(DataError, match="registration of t2w to t1c is poor") as error:
        strict.read(wrong)
    assert "on_poor_registration=flag" in str(error.value)


def broken(case: Case, folder: Path, data: np.ndarray, affine: np.ndarray) -> Case:
    path = folder / "broken.nii.gz"
    nib.save(nib.Nifti1Image(data.astype(np.float32), affine), path)
    return replace(case, images={**case.images, "t2f": ImageRef(path)})


GOOD = np.random.default_rng(0).normal(5, 1, (12, 12, 12))


@pytest.mark.parametrize(
    ("data", "affine", "words"),
    [
        (GOOD[:, :, :1], np.eye(4), "12×12×1 voxels: a slice, not a volume"),
        (GOOD, np.diag([1.0, 1, 25, 1]), "voxels of 1, 1, 25 mm: the header cannot be true"),
        (np.where(GOOD > 6, np.nan, GOOD), np.eye(4), "NaN or infinite"),
        (GOOD[0], np.eye(4), "2 dimensions, expected 3"),
        (GOOD * 0 + 3, np.eye(4), "is 3 everywhere"),
    ],
)
def test_bad_scans_are_named(case: Case, tmp_path: Path, data, affine, words: str) -> None:
    with pytest.raises(DataError, match=words) as error:
        Preprocess(spacing=2.0).read(broken(case, tmp_path, data, affine))
    assert f"Case {case.case}" in str(error.value)
    assert "broken.nii.gz" in str(error.value)


def test_a_centre_that_is_not_there(case: Case) -> None:
    with pytest.raises(ConfigError, match=r"center=t1c is not among") as error:
        Preprocess(spacing=2.0).read(case.with_modalities(["t2w", "t2f"]))
    assert "preprocess.raw.center=t2w" in str(error.value)


def test_different_grids_need_a_step_that_resamples(case: Case) -> None:
    with pytest.raises(DataError, match="affine of t1c differs") as error:
        Preprocess().read(case)
    assert "preprocess=clinical" in str(error.value)


def test_the_cache_s_processes_give_the_same(case: Case, tmp_path: Path) -> None:
    """Forked after SimpleITK was used here, with its threads."""
    preprocess = Preprocess(spacing=4.0, raw=REGISTERED)
    small = case.with_modalities(["t1c", "t1n"])
    other = write_nifti(tmp_path / "other").with_modalities(["t1c", "t1n"])
    here = preprocess(small, preprocess.read(small))
    Cache(tmp_path / "cache", preprocess).prepare([small, other], workers=2)
    entry = Cache(tmp_path / "cache", preprocess).get(small)
    assert entry.prepared().geometry == here.geometry
    # The last digit may differ: NumPy adds up in an order that depends on where arrays lie.
    assert np.allclose(entry.prepared().image, here.image, atol=2e-3)


def test_pictures_show_raw_cases_on_the_mask_s_grid(case: Case) -> None:
    volume = read_native(case)
    drawn = nib.load(case.mask)
    assert volume.image.shape == (4, *drawn.shape)
    assert np.array_equal(volume.mask, np.asarray(drawn.dataobj))
    flair = np.asarray(nib.load(case.images["t2f"].path).dataobj)
    assert np.array_equal(volume.image[3], flair)
    points = head_points() * 0.5  # each scan shows the head where its scanner saw it
    index = np.linalg.inv(volume.affine) @ np.c_[points, np.ones(len(points))].T
    found = ndimage.map_coordinates(volume.image[2], index[:3], order=1)
    own = nib.load(case.images["t2w"].path)
    index = np.linalg.inv(own.affine) @ np.c_[points, np.ones(len(points))].T
    wanted = ndimage.map_coordinates(np.asarray(own.dataobj, np.float32), index[:3], order=1)
    assert np.corrcoef(found, wanted)[0, 1] > 0.9


def test_pictures_of_prepared_cases_are_their_files(tmp_path: Path) -> None:
    case = write_nifti(tmp_path / "same", {modality: Scanned() for modality in CLINICAL})
    first, second = read_case(case), read_native(case)
    for name in ("image", "affine", "mask", "brain"):
        assert np.array_equal(getattr(first, name), getattr(second, name))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"register": "elastic"}, "raw.register=elastic"),
        ({"atlas": "sri24"}, "raw.atlas=sri24"),
        ({"bias": "n3"}, "raw.bias=n3"),
        ({"denoise": "wavelet"}, "raw.denoise=wavelet"),
        ({"strength": 0}, "strength=0"),
        ({"on_poor_registration": "ignore"}, "choose flag, error"),
    ],
)
def test_unknown_steps_are_refused(settings: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        RawSteps(**settings)


def test_motion_is_what_it_says() -> None:
    turned = motion((0, 0, 90), (1, 2, 3)) @ [1, 0, 0, 1]
    assert np.allclose(turned[:3], [1, 3, 3])
