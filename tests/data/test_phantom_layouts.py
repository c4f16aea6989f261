"""Phantom data sets on disk: names, codings and orientation as the real ones have them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from lightning_brats.data.phantom import LAYOUTS, make_case, write_phantom
from lightning_brats.data.phantom import dataset as dataset_module
from lightning_brats.labels import ET, NETC, RC, SNFH

OLD, NEW = ("t1", "t1ce", "t2", "flair"), ("t1n", "t1c", "t2w", "t2f")  # one order of modalities
COARSE = 8.0


def folder(path: str, mark: str, suffixes: tuple[str, ...], extension: str = ".nii.gz") -> set[str]:
    case = path.split("/")[-1]
    return {f"{path}/{case}{mark}{suffix}{extension}" for suffix in (*suffixes, "seg")}


EXPECTED = {
    "brats2018": folder("HGG/Brats18_CBICA_AAA_1", "_", OLD)
    | folder("HGG/Brats18_CBICA_AAC_1", "_", OLD)
    | folder("HGG/Brats18_CBICA_AAB_1", "_", OLD)
    | folder("LGG/Brats18_CBICA_AAD_1", "_", OLD),
    "brats2019": folder("HGG/BraTS19_CBICA_AAA_1", "_", OLD),
    "brats2020": folder("BraTS20_Training_001", "_", OLD, ".nii") | {"name_mapping.csv"},
    "brats2021": folder("BraTS2021_00000", "_", OLD),
    "brats2023-gli": folder("BraTS-GLI-00000-000", "-", NEW),
    "brats2023-ssa": folder("BraTS-SSA-00000-000", "-", NEW),
    "brats2023-men": folder("BraTS-MEN-00000-000", "-", NEW),
    "brats2023-ped": folder("BraTS-PED-00000-000", "-", NEW),
    "brats2023-met": folder("BraTS-MET-00000-000", "-", NEW),
    "brats2024-gli": folder("BraTS-GLI-00000-100", "-", NEW)
    | folder("BraTS-GLI-00000-101", "-", NEW)
    | folder("BraTS-GLI-00001-100", "-", NEW),
    "msd": {
        "imagesTr/BRATS_001.nii.gz",
        "labelsTr/BRATS_001.nii.gz",
        "imagesTs/BRATS_002.nii.gz",
        "dataset.json",
    },
    "nnunet": {f"imagesTr/PHANTOM_000_{k:04d}.nii.gz" for k in range(4)}
    | {"labelsTr/PHANTOM_000.nii.gz", "dataset.json"},
    "table": {f"volumes/case_000_{m}.nii.gz" for m in NEW}
    | {"volumes/case_000_mask.nii.gz", "cases.csv"},
}
CASES = {"brats2018": 4, "brats2024-gli": 3}

OLD_CODES = {NETC: 1, SNFH: 2, ET: 4}
NEW_CODES = {NETC: 1, SNFH: 2, ET: 3, RC: 4}
MSD_CODES = {SNFH: 1, NETC: 2, ET: 3}
CODES = {
    **dict.fromkeys(("brats2018", "brats2019", "brats2020", "brats2021"), OLD_CODES),
    **dict.fromkeys(("msd", "nnunet"), MSD_CODES),
}


def files(root: Path) -> set[str]:
    return {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}


def write(root: Path, layout: str = "brats2021", cases: int = 1, **more: object) -> Path:
    return write_phantom(root, layout, cases, spacing=COARSE, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module", autouse=True)
def _each_patient_is_made_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset_module, "make_case", cache(make_case))
        yield


@pytest.fixture(scope="module")
def root_of(tmp_path_factory: pytest.TempPathFactory):
    base = tmp_path_factory.mktemp("layouts")
    return lambda layout: write(base / layout, layout, CASES.get(layout, 1))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_files_are_named_as_in_the_real_data_set(layout: str, root_of) -> None:
    assert files(root_of(layout)) == EXPECTED[layout] | {"phantom.json"}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_masks_are_in_the_data_set_s_own_coding_and_orientation(layout: str, root_of) -> None:
    postop = layout == "brats2024-gli"
    case = make_case(0, spacing=COARSE, postop=postop)
    wanted = np.zeros_like(case.mask)
    for label, value in CODES.get(layout, NEW_CODES).items():
        wanted[case.mask == label] = value
    assert set(np.unique(case.mask)) == {0, NETC, SNFH, ET} | ({RC} if postop else set())
    axes = "RAS" if layout == "brats2023-ssa" else "LPS"
    wanted = wanted[::-1, ::-1] if axes == "RAS" else wanted

    root = root_of(layout)
    marks = ("seg", "mask", "labelsTr")
    mask_file = root / min(f for f in files(root) if any(mark in f for mark in marks))
    mask = nib.load(mask_file)
    np.testing.assert_array_equal(np.asarray(mask.dataobj), wanted)
    assert mask.get_data_dtype() == np.uint8
    assert "".join(nib.aff2axcodes(mask.affine)) == axes
    for path in sorted(EXPECTED[layout]):
        if ".nii" in path and path != str(mask_file.relative_to(root)):
            image = nib.load(root / path)
            assert "".join(nib.aff2axcodes(image.affine)) == axes
            assert image.shape[:3] == wanted.shape
            np.testing.assert_array_equal(image.affine, mask.affine)


def test_channels_are_in_the_order_of_each_layout(root_of) -> None:
    case = make_case(0, spacing=COARSE)
    t1n, t1c, t2w, t2f = case.image

    def load(layout: str, path: str) -> np.ndarray:
        image = nib.load(root_of(layout) / path)
        assert image.get_data_dtype() == np.int16
        return np.asarray(image.dataobj)

    msd = load("msd", "imagesTr/BRATS_001.nii.gz")
    np.testing.assert_array_equal(msd, np.stack([t2f, t1n, t1c, t2w], -1))
    old = "BraTS2021_00000/BraTS2021_00000"
    np.testing.assert_array_equal(load("brats2021", f"{old}_t1ce.nii.gz"), t1c)
    np.testing.assert_array_equal(load("brats2021", f"{old}_flair.nii.gz"), t2f)
    np.testing.assert_array_equal(load("nnunet", "imagesTr/PHANTOM_000_0002.nii.gz"), t2w)
    ssa = "BraTS-SSA-00000-000/BraTS-SSA-00000-000-t1n.nii.gz"
    np.testing.assert_array_equal(load("brats2023-ssa", ssa), t1n[::-1, ::-1])


def test_flipped_arrays_keep_their_place_in_the_world(root_of) -> None:
    name = "BraTS-{0}-00000-000/BraTS-{0}-00000-000-seg.nii.gz"
    centres = []
    for cohort in ("GLI", "SSA"):
        mask = nib.load(root_of(f"brats2023-{cohort.lower()}") / name.format(cohort))
        voxel = np.argwhere(np.asarray(mask.dataobj) == 3).mean(0)
        centres.append(nib.affines.apply_affine(mask.affine, voxel))
    np.testing.assert_allclose(centres[0], centres[1], atol=1e-4)


def test_descriptions(root_of) -> None:
    msd = json.loads((root_of("msd") / "dataset.json").read_text())
    assert msd["modality"] == {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}
    assert msd["training"] == [
        {"image": "./imagesTr/BRATS_001.nii.gz", "label": "./labelsTr/BRATS_001.nii.gz"}
    ]
    assert msd["test"] == ["./imagesTs/BRATS_002.nii.gz"]
    nnunet = json.loads((root_of("nnunet") / "dataset.json").read_text())
    assert nnunet["labels"]["tumor core"] == [2, 3]  # oedema is 1
    assert nnunet["channel_names"] == {"0": "T1", "1": "T1ce", "2": "T2", "3": "Flair"}
    assert nnunet["numTraining"] == 1
    with (root_of("brats2020") / "name_mapping.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["Grade"], row["BraTS_2020_subject_ID"]) == ("HGG", "BraTS20_Training_001")
    with (root_of("table") / "cases.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["case"] == "case_000"
    assert all((root_of("table") / row[column]).is_file() for column in (*NEW, "mask"))


@pytest.mark.parametrize(
    ("layout", "wanted"),
    [
        ("brats2018", {f for f in folder("Brats18_CBICA_AAA_1", "_", OLD) if "seg" not in f}),
        (
            "brats2020",
            {f for f in folder("BraTS20_Validation_001", "_", OLD, ".nii") if "seg" not in f},
        ),
        ("msd", {"imagesTs/BRATS_001.nii.gz", "dataset.json"}),
        ("nnunet", {f"imagesTs/PHANTOM_000_{k:04d}.nii.gz" for k in range(4)} | {"dataset.json"}),
    ],
)
def test_unlabelled_cases(layout: str, wanted: set[str], tmp_path: Path) -> None:
    root = write(tmp_path / "data", layout, labelled=False)
    assert files(root) == wanted | {"phantom.json"}
