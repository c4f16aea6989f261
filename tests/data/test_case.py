import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from conftest import write_case

from lightning_brats.data.case import Case
from lightning_brats.data.reading import read_case, read_mask, write_mask
from lightning_brats.errors import DataError, LabelError
from lightning_brats.labels import MODALITIES, SCHEMES


def rewrite(path: Path, change, affine=None) -> None:
    image = nib.load(path)
    data = change(np.asarray(image.dataobj).copy())
    nib.save(nib.Nifti1Image(data, image.affine if affine is None else affine), path)


def test_reads_modalities_in_order_and_the_mask_in_internal_labels(case: Case) -> None:
    volume = read_case(case)
    assert volume.image.shape == (4, 24, 28, 20)
    assert volume.image.dtype == np.float32
    assert set(np.unique(volume.mask)) == {0, 1, 2, 3}  # the file holds 4
    stored = np.asarray(nib.load(case.images["t1c"].path).dataobj)
    assert np.array_equal(volume.image[MODALITIES.index("t1c")], stored)


def test_brain_is_everything_but_zero_and_negative_values_belong_to_it(case: Case) -> None:
    for ref in case.images.values():
        rewrite(ref.path, lambda data: -data)
    volume = read_case(case)
    assert volume.brain.sum() == (volume.image != 0).any(0).sum() > 0


def test_truncated_file_is_named(case: Case) -> None:
    path = case.images["t2w"].path
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(DataError, match=r"case_0.*truncated") as error:
        read_case(case)
    assert str(path) in str(error.value)
    assert "remedy" in str(error.value)


def test_a_file_that_is_no_nifti_is_named(case: Case) -> None:
    path = case.images["t1n"].path
    path.write_bytes(gzip.compress(b"not an image"))
    with pytest.raises(DataError, match="unreadable"):
        read_case(case)


def test_missing_file(case: Case) -> None:
    case.images["t1n"].path.unlink()
    with pytest.raises(DataError, match="not found"):
        read_case(case)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_voxels(case: Case, value: float) -> None:
    def spoil(data: np.ndarray) -> np.ndarray:
        data = data.astype(np.float32)
        data[10, 10, 10] = value
        return data

    rewrite(case.images["t2f"].path, spoil)
    with pytest.raises(DataError, match="t2f holds NaN or infinite"):
        read_case(case)


def test_shapes_that_differ(case: Case) -> None:
    rewrite(case.images["t2w"].path, lambda data: data[:-1])
    with pytest.raises(DataError, match=r"t2w has shape \(23, 28, 20\)"):
        read_case(case)


def test_small_affine_differences_are_harmless_and_large_ones_are_not(case: Case) -> None:
    path = case.images["t2w"].path
    affine = nib.load(path).affine.copy()
    affine[0, 3] += 1e-3
    rewrite(path, lambda data: data, affine)
    read_case(case)
    affine[0, 3] += 1.0
    rewrite(path, lambda data: data, affine)
    with pytest.raises(DataError, match="affine of t2w differs"):
        read_case(case)


def test_mask_on_another_grid(case: Case) -> None:
    rewrite(case.mask, lambda data: data[:, :-2])
    with pytest.raises(DataError, match="mask has shape"):
        read_case(case)


def test_mask_with_labels_of_another_coding(case: Case) -> None:
    rewrite(case.mask, lambda data: np.where(data == 4, 3, data))
    with pytest.raises(LabelError, match=r"values \[3\].*brats2018"):
        read_case(case)


def test_missing_modality_says_how_to_do_without(case: Case) -> None:
    images = {m: ref for m, ref in case.images.items() if m != "t1c"}
    poor = Case(case.case, case.patient, images, case.scheme)
    with pytest.raises(DataError, match="t1c is missing") as error:
        poor.with_modalities(MODALITIES)
    assert "data.modalities=[t1n,t2w,t2f]" in str(error.value)


def test_a_given_brain_mask_decides(case: Case, tmp_path: Path) -> None:
    brain = np.zeros((24, 28, 20))
    brain[5:9, 5:9, 5:9] = 0.99999997
    path = tmp_path / "brain.nii.gz"
    nib.save(nib.Nifti1Image(brain, nib.load(case.mask).affine), path)
    given = Case(case.case, case.patient, case.images, case.scheme, case.mask, brain=path)
    assert read_case(given).brain.sum() == 64


def test_masks_are_written_in_their_own_coding_and_geometry(case: Case, tmp_path: Path) -> None:
    affine = np.array([[0, -1.5, 0, 3], [2, 0, 0, -7], [0, 0, 1, 5], [0, 0, 0, 1.0]])
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[1, 2, 3] = 3
    path = tmp_path / "out" / "mask.nii.gz"
    write_mask(path, labels, affine, SCHEMES["brats2018"])
    stored = nib.load(path)
    assert np.asarray(stored.dataobj)[1, 2, 3] == 4
    assert np.allclose(stored.affine, affine)
    again, _ = read_mask(path, SCHEMES["brats2018"], "x")
    assert np.array_equal(again, labels)


def test_two_cases_do_not_share_files(tmp_path: Path) -> None:
    first, second = write_case(tmp_path, "a"), write_case(tmp_path, "b", seed=1)
    assert not set(first.files) & set(second.files)
    assert len(first.files) == 5
