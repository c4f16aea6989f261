"""Copies are known again whatever was done to them; patients are not taken for one another."""

from __future__ import annotations

from collections.abc import Callable

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage
from scipy.sparse.csgraph import connected_components

from lightning_brats.data import likeness
from lightning_brats.data.duplicates import (
    NEAR,
    SAME,
    Twin,
    find_duplicates,
    joined_patients,
    twin_groups,
)
from lightning_brats.data.phantom import make_case
from lightning_brats.errors import DataError
from lightning_brats.labels import MODALITIES

Exam = tuple[np.ndarray, np.ndarray]
"""Image (C, X, Y, Z) float32 and affine."""


def phantom(index: int, visit: int = 0) -> Exam:
    made = make_case(index, spacing=4.0, visit=visit)
    return made.image.astype(np.float32), made.affine


def code(exam: Exam, modalities: tuple[str, ...] = MODALITIES) -> dict[str, str]:
    image, affine = exam
    return likeness.encode(image, (image != 0).any(0), affine, modalities)


@pytest.fixture(scope="module")
def exams() -> list[Exam]:
    return [phantom(index) for index in range(6)]


def _noisy(exam: Exam, share: float = 0.2) -> Exam:
    image, affine = exam
    rng = np.random.default_rng(1)
    scale = share * np.stack([np.full(c.shape, c[c != 0].std()) for c in image])
    return image + scale * rng.normal(size=image.shape) * (image != 0), affine


def _turned(exam: Exam) -> Exam:
    """The same anatomy with other axes in the file, as its affine says."""
    image, affine = exam
    file = nib.Nifti1Image(np.moveaxis(image, 0, -1), affine)
    change = nib.orientations.axcodes2ornt("PIR")
    found = nib.orientations.io_orientation(affine)
    turned = file.as_reoriented(nib.orientations.ornt_transform(found, change))
    return np.moveaxis(np.asarray(turned.dataobj), -1, 0), turned.affine


def _rebuilt(exam: Exam, change: Callable[[np.ndarray], np.ndarray]) -> Exam:
    image, affine = exam
    inside = change((image != 0).any(0).astype(np.float32)) > 0.5
    return np.stack([change(channel) * inside for channel in image]), affine


COPIES: dict[str, Callable[[Exam], Exam]] = {
    "scaled": lambda e: (0.37 * e[0], e[1]),
    "offset": lambda e: (np.where(e[0] != 0, e[0] + 1000, 0), e[1]),
    "one byte": lambda e: (np.where(e[0] != 0, np.ceil(e[0] / e[0].max() * 255), 0), e[1]),
    "gamma": lambda e: (np.abs(e[0]) ** 0.7, e[1]),
    "noise": _noisy,
    "axes": _turned,
    "cropped": lambda e: (e[0][:, 6:, 4:-4, 2:], e[1]),
    "moved": lambda e: (np.roll(e[0], (1, -1, 1), (1, 2, 3)), e[1]),
    "resampled": lambda e: _rebuilt(e, lambda c: ndimage.zoom(c, 0.8, order=1)),
    "half a voxel": lambda e: _rebuilt(e, lambda c: ndimage.shift(c, 0.5, order=1)),
}


@pytest.mark.parametrize("change", COPIES)
def test_a_copy_is_known_again(exams: list[Exam], change: str) -> None:
    copies = [COPIES[change](exam) for exam in exams[:2]]
    codes = [code(exam) for exam in [*exams, *copies]]
    twins = find_duplicates(list("abcdefxy"), list("abcdefxy"), codes)
    assert {(twin.first, twin.second) for twin in twins} == {("a", "x"), ("b", "y")}
    assert not any(twin.mirrored or twin.same_patient for twin in twins)


def test_patients_and_their_later_examinations_differ(exams: list[Exam]) -> None:
    vectors = np.stack([_vector(code(exam)) for exam in [*exams, phantom(0, visit=1)]])
    likenesses = (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]
    assert likenesses.max() < NEAR - 0.1
    codes = [code(exam) for exam in exams]
    assert find_duplicates(list("abcdef"), list("abcdef"), codes) == []


def _vector(codes: dict[str, str]) -> np.ndarray:
    letters = np.frombuffer("".join(codes[m] for m in MODALITIES).encode(), np.uint8)
    return likeness.values(letters.reshape(len(MODALITIES), -1)).reshape(-1) / 2


def test_a_wrong_orientation_is_seen(exams: list[Exam]) -> None:
    image, affine = exams[0]
    wrong = affine @ np.diag([-1.0, -1.0, 1.0, 1.0])
    (twin,) = find_duplicates(["a", "b"], ["a", "b"], [code(exams[0]), code((image, wrong))])
    assert twin.mirrored
    assert twin.likeness > SAME


def test_within_a_patient_only_the_same_images_count(exams: list[Exam]) -> None:
    codes = [code(exams[0]), code(exams[0]), code(COPIES["half a voxel"](exams[0]))]
    twins = find_duplicates(["p-0", "p-1", "p-2"], ["p", "p", "p"], codes)
    assert twins == [Twin("p-0", "p-1", 1.0, False, True)]


def test_shared_modalities_are_compared(exams: list[Exam]) -> None:
    full, (image, affine) = code(exams[0]), exams[0]
    two = code((image[2:], affine), MODALITIES[2:])
    other = code((exams[1][0][2:], affine), MODALITIES[2:])
    extra = {**code(exams[2]), "adc": code(exams[2])["t1n"]}
    alone = {"pet": full["t1n"]}
    ids = ["full", "two", "other", "extra", "alone", "none"]
    twins = find_duplicates(ids, ids, [full, two, other, extra, alone, {}])
    assert [(twin.first, twin.second) for twin in twins] == [("full", "two")]


def test_a_group_of_copies_is_connected_by_few_pairs(exams: list[Exam]) -> None:
    codes = [code(exams[0])] * 4 + [code(exams[1])] + [code(_noisy(exams[0]))]
    twins = find_duplicates(list("abcdef"), list("abcdef"), codes)
    assert len(twins) == 4
    assert twin_groups(twins) == [["a", "b", "c", "d", "f"]]


@pytest.mark.parametrize(("count", "planted"), [(1, 0), (1, 3), (40, 8), (1100, 20)])
def test_none_is_lost_among_many(count: int, planted: int) -> None:
    """Against a plain comparison of all pairs; the last are more cases than a block holds."""
    rng = np.random.default_rng(count)
    letters = rng.integers(0, 64, (count, likeness.CELLS))
    copied = rng.integers(0, count, planted)
    noise = rng.integers(-8, 9, (planted, likeness.CELLS))
    letters = np.concatenate([letters, np.clip(letters[copied] + noise, 0, 63)])
    alphabet = np.array(list(likeness.ALPHABET))
    codes = [{"t1c": "".join(alphabet[row])} for row in letters]
    ids = [f"c{i}" for i in range(len(codes))]
    near = np.atleast_2d(np.corrcoef(letters)) >= NEAR
    of = connected_components(near)[1]
    groups = [sorted(np.array(ids)[of == i].tolist()) for i in range(of.max() + 1)]
    expected = sorted(group for group in groups if len(group) > 1)
    assert twin_groups(find_duplicates(ids, ids, codes)) == expected
    assert (planted == 0) == (expected == [])


def test_joined_patients() -> None:
    patients = {"a1": "a", "a2": "a", "b1": "b", "c1": "c", "d1": "d"}
    twins = [Twin("c1", "a2", 0.99), Twin("gone", "d1", 0.99), Twin("gone", "b1", 0.99)]
    assert joined_patients(patients, twins) == {
        "a1": "a",
        "a2": "a",
        "b1": "b",
        "c1": "a",
        "d1": "b",
    }
    assert joined_patients(patients, []) == patients


@pytest.mark.parametrize("bad", ["", "0" * 279, "0" * 281, "?" * 280, "0" * 279 + "ü"])
def test_a_damaged_fingerprint_is_named(exams: list[Exam], bad: str) -> None:
    with pytest.raises(DataError, match="Case b: the fingerprint"):
        find_duplicates(["a", "b"], ["a", "b"], [{"t1c": code(exams[0])["t1c"]}, {"t1c": bad}])


def test_nothing_to_compare() -> None:
    assert find_duplicates([], [], []) == []
    assert find_duplicates(["a"], ["a"], [{"t1c": "0" * likeness.CELLS}]) == []


def test_a_constant_image_has_a_fingerprint() -> None:
    image = np.ones((1, 6, 7, 8), np.float32)
    codes = likeness.encode(image, image[0] > 0, np.eye(4), ["t1c"])
    assert len(codes["t1c"]) == likeness.CELLS
