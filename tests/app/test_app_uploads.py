"""What is given: broken and hostile files end with a message, good ones as a clean case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hostile_uploads import HOSTILE, LATER, LPS, MOST_BYTES, File, archive, four, nifti, packed
from nibabel.nifti1 import Nifti1Extension

from lightning_brats.app.archives import unpack
from lightning_brats.app.following import Visit, proposed_coding
from lightning_brats.app.intake import adopt, coding_of, recognise, roles
from lightning_brats.app.uploads import receive, receive_each
from lightning_brats.app.volumes import read_volume
from lightning_brats.data.case import Case
from lightning_brats.data.phantom import LAYOUTS, write_phantom
from lightning_brats.data.preprocess import Preprocess
from lightning_brats.errors import DataError
from lightning_brats.labels import MODALITIES, SCHEMES


def take(files: list[File], folder: Path) -> Case:
    """What the page does with an upload."""
    given = receive(files, folder / "raw", MOST_BYTES)[0]
    clean = folder / "clean"
    clean.mkdir()
    chosen = {role: s for role, s in zip(roles(given.scans), given.scans, strict=True) if role}
    return adopt(chosen, given.scheme or SCHEMES["brats2023"], clean)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_broken_or_hostile_file_ends_with_a_message(name: str, tmp_path: Path) -> None:
    make, words = HOSTILE[name]
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    with pytest.raises(DataError) as caught:
        take(make(), inner)
    assert words in caught.value.problem
    assert caught.value.remedy
    assert str(tmp_path) not in caught.value.problem
    written = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert all(
        p.is_relative_to(inner / "raw") or p.is_relative_to(inner / "clean") for p in written
    )


def prepare(case: Case) -> None:
    preprocess, chosen = Preprocess(), case.with_modalities(MODALITIES)
    preprocess(chosen, preprocess.read(chosen))


@pytest.mark.parametrize("name", LATER)
def test_a_case_that_cannot_be_used_ends_with_a_message(name: str, tmp_path: Path) -> None:
    make, words = LATER[name]
    case = take(make(), tmp_path)
    with pytest.raises(DataError, match=words):
        prepare(case)


def test_no_more_is_unpacked_than_allowed_whatever_the_archive_says(tmp_path: Path) -> None:
    packed_file = tmp_path / "a.zip"
    packed_file.write_bytes(archive({"a-t1c.nii": nifti(), "b-t1c.nii": nifti()}))
    size = len(nifti())
    assert len(unpack(packed_file, tmp_path, 2 * size)) == 2
    with pytest.raises(DataError, match="unfolds to"):
        unpack(packed_file, tmp_path / "other", 2 * size - 1)


def test_free_text_and_names_do_not_stay(tmp_path: Path) -> None:
    secret = b"Jane Doe 1950"
    image = nib.Nifti1Image.from_bytes(nifti())
    for field in ("descrip", "aux_file", "db_name", "intent_name"):
        image.header[field] = secret
    image.header.extensions.append(Nifti1Extension("comment", secret))
    files = [File(f"Jane_Doe_{m}.nii.gz", packed(image.to_bytes())) for m in MODALITIES]
    case = take(files, tmp_path)
    for path in case.files:
        assert secret not in path.read_bytes()
        assert "Jane" not in path.name
        assert b"Jane" in packed_content(tmp_path / "raw")
    assert case.case == "case"


def packed_content(folder: Path) -> bytes:
    """What was given still had it, so that its absence means something."""
    path = next(folder.rglob("*.nii.gz"))
    return nib.load(path).header["descrip"].tobytes()


@pytest.mark.parametrize("dtype", ["u1", "i2", "<u2", ">i2", "i4", "f4", "f8"])
def test_voxels_and_place_stay_as_they_are(dtype: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    data = rng.integers(0, 200, (9, 10, 11)).astype(dtype)
    affine = np.array([[0, 0, 1.5, -3], [-1, 0.01, 0, 8], [0, 2, 0.02, 4], [0, 0, 0, 1.0]])
    endian = ">" if dtype.startswith(">") else "<"
    image = nib.Nifti1Image(data, affine, nib.Nifti1Header(endianness=endian))
    image.header.set_data_dtype(data.dtype)
    path = tmp_path / "a.nii.gz"
    nib.save(image, path)
    found, header = read_volume(path)
    assert np.array_equal(found, data)
    assert np.allclose(header.affine, affine, atol=1e-5)


def test_scaled_integers_are_read_as_they_are_meant(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.arange(8**3, dtype=np.int16).reshape(8, 8, 8), LPS)
    image.header.set_slope_inter(0.5, -10)
    path = tmp_path / "a.nii"
    nib.save(image, path)
    found, _ = read_volume(path)
    assert np.allclose(found, np.asarray(nib.load(path).dataobj))


LAYOUT_TESTS = [
    pytest.param(name, marks=[] if name in ("brats2024-gli", "msd") else [pytest.mark.slow])
    for name in LAYOUTS
    if name != "table"
]


@pytest.mark.parametrize("layout", LAYOUT_TESTS)
def test_cases_of_every_layout_are_recognised(layout: str, tmp_path: Path) -> None:
    root = write_phantom(tmp_path / "data", layout=layout, cases=1, spacing=8.0)
    members = {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}
    given = receive([File("a.zip", archive(members))], tmp_path / "raw", 10**9)
    labelled = [each for each in given if any(scan.role == "mask" for scan in each.scans)]
    found = {role for role in roles(labelled[0].scans) if role}
    assert found == {*MODALITIES, "mask"}
    assert dict(labelled[0].scheme.codes) == dict(SCHEMES[LAYOUTS[layout].scheme].codes)


def test_names_of_scanners_are_recognised_and_doubles_left_to_the_person(tmp_path: Path) -> None:
    names = ["ax_T1_post_GD", "AX_T1", "T2_tse", "FLAIR_3D", "t1_mprage_sag", "unknown"]
    for name in names:
        (tmp_path / f"{name}.nii").write_bytes(nifti())
    given = recognise(tmp_path)[0]
    found = dict(zip([scan.name for scan in given.scans], roles(given.scans), strict=True))
    assert found["ax_T1_post_GD.nii"] == "t1c"
    assert found["T2_tse.nii"] == "t2w"
    assert found["FLAIR_3D.nii"] == "t2f"
    assert [found["AX_T1.nii"], found["t1_mprage_sag.nii"]].count("t1n") == 1
    assert found["unknown.nii"] is None


def test_a_4d_file_without_description_is_offered_channel_by_channel(tmp_path: Path) -> None:
    (tmp_path / "a.nii").write_bytes(nifti(np.ones((8, 8, 8, 4), np.int16)))
    given = recognise(tmp_path)[0]
    assert [scan.channel for scan in given.scans] == [0, 1, 2, 3]
    assert {scan.role for scan in given.scans} == set(MODALITIES)


def test_the_name_of_a_release_tells_the_coding(tmp_path: Path) -> None:
    names = {"t1": "t1n", "t1ce": "t1c", "t2": "t2w", "flair": "t2f", "seg": "mask"}
    files = [File(f"BraTS2021_00000_{n}.nii.gz", packed(nifti())) for n in names]
    given = receive(files, tmp_path / "raw", MOST_BYTES)[0]
    assert set(roles(given.scans)) == set(names.values())
    assert given.scheme is SCHEMES["brats2018"]


@pytest.mark.parametrize(
    ("values", "scheme"),
    [((1, 2, 4), "brats2018"), ((1, 2, 3), "brats2023"), ((1, 2, 3, 4), "brats2024")],
)
def test_the_coding_of_a_mask_is_guessed_from_its_values(
    values: tuple[int, ...], scheme: str, tmp_path: Path
) -> None:
    mask = np.zeros((8, 8, 8), np.uint8)
    mask[0, 0, : len(values)] = values
    (tmp_path / "a_seg.nii").write_bytes(nifti(mask))
    assert coding_of(recognise(tmp_path)[0].scans[0]) is SCHEMES[scheme]


def test_masks_of_one_patient_are_taken_for_coded_alike(tmp_path: Path) -> None:
    """The second visit has no enhancing tumour: alone, its cavity would be taken for one."""
    visits = []
    for number, values in enumerate(((1, 2, 3, 4), (1, 2, 4))):
        mask = np.zeros((24, 28, 20), np.uint8)
        mask[0, 0, : len(values)] = values
        files = {"t1c": packed(nifti()), "seg": packed(nifti(mask))}
        given = receive(
            [File(f"own-{name}.nii.gz", content) for name, content in files.items()],
            tmp_path / str(number),
            MOST_BYTES,
        )
        visits.append(Visit(given[0], None))
    assert coding_of(visits[1].given.scans[-1]) is SCHEMES["brats2018"]
    assert proposed_coding(visits) is SCHEMES["brats2024"]


def test_of_several_cases_with_names_of_their_own_the_coding_is_not_known(tmp_path: Path) -> None:
    members = {
        f"{patient}/{patient}_{name}.nii.gz": packed(nifti())
        for patient in ("anna", "berta")
        for name in ("t1", "t1ce", "t2", "flair", "seg")
    }
    given = receive([File("a.zip", archive(members))], tmp_path / "raw", MOST_BYTES)
    assert [each.name for each in given] == ["anna", "berta"]
    assert [each.scheme for each in given] == [None, None]


@pytest.mark.parametrize("receiving", [receive, receive_each])
def test_the_limit_is_that_of_all_files_together(receiving: Any, tmp_path: Path) -> None:
    content = nifti(np.zeros((40, 40, 40), np.int16))  # 128 kB, and next to nothing when packed
    uploads = [File(f"{n}.zip", archive({f"case{n}-t1c.nii": content})) for n in range(3)]
    with pytest.raises(DataError, match="unfolds to"):
        receiving(uploads, tmp_path / "raw", 2 * len(content) + 1000)
    with pytest.raises(DataError, match="are allowed"):
        receiving([File("a-t1c.nii", content)] * 2, tmp_path / "raw", len(content) + 1000)
    assert receiving(uploads, tmp_path / "raw", 3 * len(content) + 1000)


def test_good_files_become_a_case(tmp_path: Path) -> None:
    case = take(four(), tmp_path)
    assert list(case.images) == list(MODALITIES)
    assert case.mask is None
