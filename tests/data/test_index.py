"""Layouts and their traps, written here by hand."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from lightning_brats.data.index import LAYOUTS, detect_layout, index_dataset
from lightning_brats.data.phantom import PhantomCase, make_case, write_phantom
from lightning_brats.data.reading import read_case
from lightning_brats.data.splits import make_split
from lightning_brats.data.table import index_table
from lightning_brats.errors import ConfigError, DataError, LabelError
from lightning_brats.labels import SCHEMES, LabelScheme

OLD = ("_t1", "_t1ce", "_t2", "_flair", "_seg")
NEW = ("-t1n", "-t1c", "-t2w", "-t2f", "-seg")
CANONICAL = ["t1n", "t1c", "t2w", "t2f"]


def put(folder: Path, suffixes=OLD, ending=".nii.gz") -> Path:
    """A case folder whose files are empty: an index opens none of them."""
    folder.mkdir(parents=True)
    for suffix in suffixes:
        (folder / f"{folder.name}{suffix}{ending}").touch()
    return folder


def header(path: Path, shape: tuple[int, ...]) -> None:
    """A file of zeros that compresses to next to nothing."""
    nib.save(nib.Nifti1Image(np.zeros(shape, np.uint8), np.eye(4)), path)


@pytest.mark.parametrize(
    ("places", "suffixes", "layout", "scheme"),
    [
        (["HGG/Brats18_CBICA_AAM_1", "LGG/Brats18_TCIA01_203_1"], OLD, "brats2018", "brats2018"),
        (["HGG/BraTS19_2013_2_1", "LGG/BraTS19_TCIA09_141_1"], OLD, "brats2019", "brats2018"),
        (["BraTS20_Training_001", "BraTS20_Training_002"], OLD, "brats2020", "brats2018"),
        (["BraTS2021_00000", "BraTS2021_00002"], OLD, "brats2021", "brats2018"),
        (["BraTS-SSA-00002-000", "BraTS-SSA-00007-000"], NEW, "brats2023", "brats2023"),
        (["BraTS-GLI-00005-100", "BraTS-GLI-00005-101"], NEW, "brats2024-gli", "brats2024"),
    ],
)
def test_releases_are_recognised(tmp_path: Path, places, suffixes, layout, scheme) -> None:
    for place in places:
        put(tmp_path / place, suffixes)
    assert detect_layout(tmp_path) == layout
    cases = index_dataset(tmp_path)
    assert [case.case for case in cases] == [Path(place).name for place in places]
    assert all(case.scheme is SCHEMES[scheme] for case in cases)
    folder, name = tmp_path / places[0], cases[0].case
    assert list(cases[0].images) == CANONICAL
    for modality, suffix in zip(CANONICAL, suffixes, strict=False):
        ref = cases[0].images[modality]
        assert (ref.path, ref.channel) == (folder / f"{name}{suffix}.nii.gz", None)
    assert cases[0].mask == folder / f"{name}{suffixes[4]}.nii.gz"


def test_patients_cohorts_and_grades(tmp_path: Path) -> None:
    put(tmp_path / "a" / "BraTS-GLI-00005-100", NEW)
    put(tmp_path / "a" / "BraTS-GLI-00005-101", NEW)
    put(tmp_path / "b" / "BraTS-MET-00005-000", NEW)
    put(tmp_path / "b" / "BraTS-PED-00005-000", NEW)
    put(tmp_path / "c" / "LGG" / "Brats18_TCIA01_203_1")
    followed = index_dataset(tmp_path / "a")
    assert [case.patient for case in followed] == ["BraTS-GLI-00005"] * 2
    assert {case.cohort for case in followed} == {"BraTS2024-GLI"}
    met, ped = index_dataset(tmp_path / "b")
    assert (met.cohort, ped.cohort) == ("BraTS2023-MET", "BraTS2023-PED")
    assert met.patient != ped.patient
    (low,) = index_dataset(tmp_path / "c")
    assert (low.patient, low.cohort, low.grade) == ("Brats18_TCIA01_203", "BraTS2018", "LGG")


def test_2020_reads_grades_from_its_mapping(tmp_path: Path) -> None:
    root = tmp_path / "MICCAI_BraTS2020_TrainingData"
    put(root / "BraTS20_Training_001", ending=".nii")
    put(root / "BraTS20_Training_260", ending=".nii")
    header_line = "Grade,BraTS_2017_subject_ID,BraTS_2020_subject_ID\n"
    rows = "HGG,Brats17_CBICA_AAB_1,BraTS20_Training_001\nLGG,NA,BraTS20_Training_260\n"
    (root / "name_mapping.csv").write_text(header_line + rows)
    assert [case.grade for case in index_dataset(root)] == ["HGG", "LGG"]
    assert index_dataset(root / "BraTS20_Training_260")[0].grade == "LGG"
    (root / "name_mapping.csv").write_text("Grade,Case\nHGG,BraTS20_Training_001\n")
    with pytest.raises(DataError, match="BraTS_2020_subject_ID"):
        index_dataset(root)


@pytest.mark.parametrize(
    ("shape", "layout"), [((240, 240, 155), "brats2023"), ((182, 218, 182), "brats2024-gli")]
)
def test_glioma_of_2023_and_2024_by_grid(tmp_path: Path, shape, layout) -> None:
    folder = put(tmp_path / "BraTS-GLI-00005-000", NEW)
    header(folder / "BraTS-GLI-00005-000-t1n.nii.gz", shape)
    assert detect_layout(tmp_path) == layout
    assert index_dataset(tmp_path)[0].cohort == {"brats2023": "BraTS2023-GLI"}.get(
        layout, "BraTS2024-GLI"
    )


def test_layout_can_be_named_where_names_do_not_tell(tmp_path: Path) -> None:
    put(tmp_path / "BraTS-GLI-00005-000", NEW)  # its header cannot be read
    with pytest.raises(DataError, match=r"2023 and 2024 cannot be told apart[\s\S]*data.layout"):
        index_dataset(tmp_path)
    assert index_dataset(tmp_path, "brats2023")[0].scheme is SCHEMES["brats2023"]
    assert index_dataset(tmp_path, "brats2024-gli")[0].scheme is SCHEMES["brats2024"]


def test_named_layout_that_contradicts_the_names_is_refused(tmp_path: Path) -> None:
    """A 2021 mask read as 2024 would turn enhancing tumour into cavity without any error."""
    put(tmp_path / "BraTS2021_00000")
    with pytest.raises(DataError, match=r"BraTS2021_00000.*\n.*\n.*data.layout=brats2021"):
        index_dataset(tmp_path, "brats2024-gli")
    recoded = SCHEMES["brats2023"]
    assert index_dataset(tmp_path, labels=recoded)[0].scheme is recoded


def test_masks_that_contradict_the_recognised_coding_are_refused(tmp_path: Path) -> None:
    folder = put(tmp_path / "BraTS-SSA-00002-000", NEW)
    for suffix in NEW:
        header(folder / f"{folder.name}{suffix}.nii.gz", (4, 4, 4))
    old = np.full((4, 4, 4), 4, np.uint8)
    nib.save(nib.Nifti1Image(old, np.eye(4)), folder / f"{folder.name}-seg.nii.gz")
    with pytest.raises(LabelError, match=r"values \[4\] are not in the coding 'brats2023'"):
        read_case(index_dataset(tmp_path)[0])


@pytest.mark.parametrize("depth", ["", "TrainingData", "x/TrainingData", "x/y/TrainingData"])
def test_root_may_be_wrapped(tmp_path: Path, depth: str) -> None:
    put(tmp_path / depth / "BraTS2021_00000")
    put(tmp_path / "__MACOSX" / "BraTS2021_00000", ("_t1", "_seg"))
    (tmp_path / "readme.pdf").touch()
    (case,) = index_dataset(tmp_path)
    assert case.files[0].parent == tmp_path / depth / "BraTS2021_00000"


def test_two_data_sets_below_the_root_are_not_mixed(tmp_path: Path) -> None:
    put(tmp_path / "TrainingData" / "BraTS2021_00000")
    put(tmp_path / "ValidationData" / "BraTS2021_00001", OLD[:4])
    with pytest.raises(DataError, match=r"TrainingData, ValidationData[\s\S]*name one"):
        index_dataset(tmp_path)


def test_one_new_case_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = put(tmp_path / "BraTS2021_00500", OLD[:4])
    (case,) = index_dataset(folder, require_masks=False)
    assert (case.case, case.mask) == ("BraTS2021_00500", None)
    put(folder / "corrected", OLD[:4])  # somebody's own work inside a case
    put(tmp_path / "free" / "scan", OLD[:4])
    monkeypatch.chdir(folder)
    assert index_dataset(Path("."), require_masks=False)[0].case == "BraTS2021_00500"
    named = index_dataset(tmp_path / "free" / "scan", "brats2021", require_masks=False)
    assert [case.case for case in named] == ["scan"]


def test_case_folders_of_other_names_need_a_coding(tmp_path: Path) -> None:
    put(tmp_path / "patient_1")
    put(tmp_path / "patient_2")
    assert detect_layout(tmp_path) == "folders"
    with pytest.raises(DataError, match=r"like patient_1[\s\S]*data.layout=brats2021"):
        index_dataset(tmp_path)
    coding = LabelScheme("own", {1: 1, 5: 3})
    cases = index_dataset(tmp_path, labels=coding)
    assert [(case.case, case.patient, case.scheme) for case in cases] == [
        ("patient_1", "patient_1", coding),
        ("patient_2", "patient_2", coding),
    ]
    assert index_dataset(tmp_path, "brats2021")[0].cohort == "BraTS2021"


def test_traps_of_real_files(tmp_path: Path) -> None:
    odd = put(tmp_path / "BraTS20_Training_355", OLD[:4], ".nii")
    (odd / "W39_1998.09.19_Segm.nii").touch()
    (odd / "._BraTS20_Training_355_t1.nii").touch()
    (odd / ".DS_Store").touch()
    mixed = put(tmp_path / "BraTS20_Training_001", OLD[:2], ".nii")
    for suffix in OLD[2:]:
        (mixed / f"{mixed.name}{suffix}.nii.gz").touch()
    (tmp_path / ".cache").mkdir()
    (tmp_path / "._BraTS20_Training_355").touch()
    first, second = index_dataset(tmp_path)
    assert [ref.path.suffix for ref in first.images.values()] == [".nii", ".nii", ".gz", ".gz"]
    assert second.mask == odd / "W39_1998.09.19_Segm.nii"
    assert second.images["t1n"].path == odd / "BraTS20_Training_355_t1.nii"

    loud = put(tmp_path / "y" / "BraTS2021_00000", OLD, ".NII.GZ")
    assert len(index_dataset(loud)[0].files) == 5
    spelt = put(tmp_path / "x" / "BraTS-SSA-00041-000", ("-t1n", "-t1c", "-t2W", "-t2f", "-seg"))
    assert index_dataset(spelt)[0].images["t2w"].path.name == "BraTS-SSA-00041-000-t2W.nii.gz"


def test_missing_modality_surfaces_when_it_is_asked_for(tmp_path: Path) -> None:
    put(tmp_path / "BraTS2021_00000", ("_t1ce", "_t2", "_flair", "_seg"))
    (case,) = index_dataset(tmp_path)
    assert list(case.images) == ["t1c", "t2w", "t2f"]
    with pytest.raises(DataError, match=r"BraTS2021_00000: modality t1n is missing"):
        case.with_modalities(CANONICAL)


def test_missing_mask(tmp_path: Path) -> None:
    put(tmp_path / "BraTS2021_00000")
    put(tmp_path / "BraTS2021_00001", OLD[:4])
    put(tmp_path / "BraTS2021_00002", OLD[:4])
    with pytest.raises(DataError, match=r"no mask found, nor in 1 more of 3 cases") as caught:
        index_dataset(tmp_path)
    assert caught.value.case == "BraTS2021_00001"
    assert Path(caught.value.file).parent == tmp_path / "BraTS2021_00001"
    assert "BraTS2021_00001_seg.nii.gz" in caught.value.remedy
    masks = [case.mask is not None for case in index_dataset(tmp_path, require_masks=False)]
    assert masks == [True, False, False]


def test_empty_case_folder_and_two_files_for_one_modality(tmp_path: Path) -> None:
    put(tmp_path / "a" / "BraTS2021_00000")
    put(tmp_path / "a" / "BraTS2021_00001", ())
    with pytest.raises(DataError, match="BraTS2021_00001: the folder holds no modality"):
        index_dataset(tmp_path / "a")
    double = put(tmp_path / "b" / "BraTS2021_00000")
    (double / "BraTS2021_00000_t1.nii").touch()
    with pytest.raises(DataError, match=r"two files for t1n: .*_t1.nii and .*_t1.nii.gz"):
        index_dataset(tmp_path / "b")


def test_roots_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="folder not found") as caught:
        index_dataset(tmp_path / "nowhere")
    assert caught.value.file == tmp_path / "nowhere"
    (tmp_path / "cases.csv").touch()
    with pytest.raises(DataError, match=r"a file, not a folder[\s\S]*data=table"):
        index_dataset(tmp_path / "cases.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="the folder is empty"):
        index_dataset(tmp_path / "empty")
    (tmp_path / "other" / "holiday").mkdir(parents=True)
    (tmp_path / "other" / "photo.jpg").touch()
    with pytest.raises(DataError, match=r"no known layout.*found holiday, photo.jpg"):
        index_dataset(tmp_path / "other")
    with pytest.raises(ConfigError, match=r"'brats2022' is unknown[\s\S]*brats2021"):
        index_dataset(tmp_path, "brats2022")


def test_duplicate_and_mixed_names(tmp_path: Path) -> None:
    put(tmp_path / "HGG" / "Brats18_CBICA_AAM_1")
    put(tmp_path / "LGG" / "Brats18_CBICA_AAM_1")
    with pytest.raises(DataError, match=r"Brats18_CBICA_AAM_1: two cases.*HGG"):
        index_dataset(tmp_path)
    put(tmp_path / "m" / "BraTS2021_00000")
    put(tmp_path / "m" / "BraTS-GLI-00005-100", NEW)
    with pytest.raises(DataError, match="several layouts"):
        index_dataset(tmp_path / "m")


MSD = {
    "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
    "labels": {
        "0": "background",
        "1": "edema",
        "2": "non-enhancing tumor",
        "3": "enhancing tumour",
    },
}


def describe(root: Path, content: dict, images: list[str], masks: list[str]) -> Path:
    """`imagesTr`, `labelsTr` and `dataset.json`."""
    for folder, names in (("imagesTr", images), ("labelsTr", masks)):
        (root / folder).mkdir(parents=True)
        for name in names:
            (root / folder / name).touch()
    (root / "dataset.json").write_text(json.dumps(content))
    return root


def test_msd(tmp_path: Path) -> None:
    names = ["BRATS_001.nii.gz", "BRATS_002.nii.gz", "._BRATS_001.nii.gz"]
    root = describe(tmp_path / "Task01_BrainTumour", MSD, names, names)
    (root / "imagesTs").mkdir()
    (root / "imagesTs" / "BRATS_485.nii.gz").touch()
    assert detect_layout(tmp_path) == "msd"
    first, second = index_dataset(tmp_path)
    assert (first.case, first.cohort, second.case) == ("BRATS_001", "MSD", "BRATS_002")
    channels = {modality: ref.channel for modality, ref in first.images.items()}
    assert channels == {"t2f": 0, "t1n": 1, "t1c": 2, "t2w": 3}
    assert {ref.path for ref in first.images.values()} == {root / "imagesTr" / "BRATS_001.nii.gz"}
    assert first.mask == root / "labelsTr" / "BRATS_001.nii.gz"
    assert first.scheme == SCHEMES["msd"]
    unlabelled = index_dataset(root, require_masks=False)[2]
    assert (unlabelled.case, unlabelled.mask) == ("BRATS_485", None)
    only = index_dataset(root / "imagesTs", require_masks=False)
    assert [case.case for case in only] == ["BRATS_485"]


def nnunet(tmp_path: Path, labels: dict, channels: dict | None = None) -> Path:
    """Two cases, four channels."""
    channels = channels or {"0": "T1", "1": "T1ce", "2": "T2", "3": "Flair"}
    content = {"channel_names": channels, "labels": labels, "file_ending": ".nii.gz"}
    cases = ("BraTS-GLI-00005-100", "BraTS-GLI-00005-101")
    images = [f"{case}_{int(channel):04d}.nii.gz" for case in cases for channel in channels]
    masks = [f"{case}.nii.gz" for case in cases]
    return describe(tmp_path / "Dataset137_BraTS", content, images, masks)


@pytest.mark.parametrize(
    ("labels", "codes", "regions"),
    [
        (
            {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing": [3]},
            {0: 0, 1: 2, 2: 1, 3: 3},
            ("WT", "TC", "ET"),
        ),
        (
            {"background": 0, "ET": [3], "TC": [2, 3], "WT": [1, 2, 3]},
            {0: 0, 1: 2, 2: 1, 3: 3},
            ("WT", "TC", "ET"),
        ),
        (
            {"background": 0, "NETC": 1, "SNFH": 2, "ET": 3, "RC": 4},
            {0: 0, 1: 1, 2: 2, 3: 3, 4: 4},
            ("WT", "TC", "ET", "RC"),
        ),
        (
            {"background": 0, "necrosis": 1, "oedema": 2, "non-enhancing": 3, "enhancing core": 4},
            {0: 0, 1: 1, 2: 2, 3: 1, 4: 3},
            ("WT", "TC", "ET"),
        ),
        ({"background": 0, "NCR/NET": 4, "peritumoral edema": 2}, {0: 0, 2: 2, 4: 1}, ("WT", "TC")),
        ({"background": 0, "tumor": 1}, {0: 0, 1: 2}, ("WT",)),
        (
            {
                "background": 0,
                "surrounding non-enhancing FLAIR hyperintensity": 1,
                "resection_cavity": [7],
                "necrotic and non-enhancing tumor core": 2,
            },
            {0: 0, 1: 2, 2: 1, 7: 4},
            ("WT", "TC", "RC"),
        ),
    ],
)
def test_nnunet_labels_by_name(tmp_path: Path, labels, codes, regions) -> None:
    root = nnunet(tmp_path, labels)
    assert detect_layout(root) == "nnunet"
    first, second = index_dataset(root)
    assert dict(first.scheme.codes) == codes
    assert first.scheme.regions == regions
    assert first.images["t1c"].path == root / "imagesTr" / "BraTS-GLI-00005-100_0001.nii.gz"
    assert list(first.images) == CANONICAL
    assert first.patient == second.patient == "BraTS-GLI-00005"
    assert first.cohort == "Dataset137_BraTS"


def test_nnunet_channels_keep_names_that_are_not_brats(tmp_path: Path) -> None:
    root = nnunet(tmp_path, {"background": 0, "ET": 1}, {"0": "T2-FLAIR", "1": "ADC"})
    (root / "imagesTr" / "BraTS-GLI-00005-101_0001.nii.gz").unlink()
    first, second = index_dataset(root)
    assert list(first.images) == ["t2f", "ADC"]
    assert list(second.images) == ["t2f"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": {"background": 0, "vessel": 1}}, "'vessel' is not understood"),
        ({"labels": {"ET": 1, "edema": [1, 2]}}, "mask value 1 has two meanings"),
        ({"labels": {"ET": None}}, "'et' has no whole number"),
        ({"labels": {}}, "'labels' is missing, empty"),
        ({"channel_names": {"0": "T1", "1": "T1w", "2": "T2", "3": "FLAIR"}}, "unclear channels"),
        ({"channel_names": {"T1": 0}}, "unclear channels"),
        ({"channel_names": {"0": "T1"}}, "does not end in one of the channels"),
        ({"file_ending": ".mha"}, "files end in .mha"),
    ],
)
def test_nnunet_descriptions_that_cannot_be_used(tmp_path: Path, change, message) -> None:
    root = nnunet(tmp_path, {"background": 0, "ET": 1})
    content = json.loads((root / "dataset.json").read_text()) | change
    (root / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=message) as caught:
        index_dataset(root)
    assert caught.value.file
    assert caught.value.remedy


def test_decathlon_folders_that_are_incomplete(tmp_path: Path) -> None:
    root = nnunet(tmp_path, {"background": 0, "ET": 1})
    (root / "labelsTr" / "BraTS-GLI-00005-101.nii.gz").unlink()
    with pytest.raises(DataError, match="BraTS-GLI-00005-101: no mask found"):
        index_dataset(root)
    with pytest.raises(DataError, match="laid out like msd or nnunet, not like brats2021"):
        index_dataset(root, "brats2021")
    for file in (root / "imagesTr").iterdir():
        file.unlink()
    with pytest.raises(DataError, match="no NIfTI image found"):
        index_dataset(root)
    (root / "dataset.json").write_text("{")
    with pytest.raises(DataError, match="not valid JSON"):
        index_dataset(root)
    (root / "dataset.json").unlink()
    with pytest.raises(DataError, match=r"no known layout.*dataset.json.*found imagesTr, labelsTr"):
        index_dataset(root)


@pytest.mark.slow
def test_ten_thousand_cases(tmp_path: Path) -> None:
    for number in range(10_000):
        put(tmp_path / f"BraTS-MEN-{number:05d}-000", NEW)
    start = time.process_time()
    cases = index_dataset(tmp_path)
    assert len(cases) == 10_000
    assert time.process_time() - start < 5


def test_no_file_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening or stating each of 50,000 files on a network disk would take minutes."""
    for number in range(20):
        put(tmp_path / f"BraTS-GLI-{number:05d}-100", NEW)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a file was opened or stated")

    monkeypatch.setattr(nib, "load", refuse)
    scanned: list[Path] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: scanned.append(path) or scandir(path))
    assert len(index_dataset(tmp_path)) == 20
    assert len(scanned) <= 20 + 2


def test_every_layout_is_listed_once() -> None:
    assert len(set(LAYOUTS)) == len(LAYOUTS) == 9


@pytest.fixture(scope="module")
def patient() -> PhantomCase:
    """What every pre-operative layout's first case holds, as it was made."""
    return make_case(0, seed=0, spacing=8.0)


@pytest.mark.parametrize(
    ("written", "layout"),
    [
        ("brats2018", "brats2018"),
        ("brats2019", "brats2019"),
        ("brats2020", "brats2020"),
        ("brats2021", "brats2021"),
        ("brats2023-gli", "brats2023"),
        ("brats2023-ssa", "brats2023"),
        ("brats2023-met", "brats2023"),
        ("msd", "msd"),
        ("nnunet", "nnunet"),
    ],
)
def test_phantom_reads_back_alike_from_every_layout(
    tmp_path: Path, patient: PhantomCase, written: str, layout: str
) -> None:
    root = write_phantom(tmp_path / "phantom", layout=written, cases=1, spacing=8.0)
    assert detect_layout(root) == layout
    (case,) = index_dataset(root)
    volume = read_case(case.with_modalities(CANONICAL))
    assert volume.mask is not None
    flipped = (slice(None, None, -1), slice(None, None, -1)) if written == "brats2023-ssa" else ()
    np.testing.assert_array_equal(volume.mask[flipped], patient.mask)
    np.testing.assert_array_equal(volume.image[(slice(None), *flipped)], patient.image)


def test_post_treatment_phantom_has_several_cases_a_patient(tmp_path: Path) -> None:
    root = write_phantom(tmp_path / "phantom", layout="brats2024-gli", cases=4, spacing=8.0)
    cases = index_dataset(root)
    assert detect_layout(root) == "brats2024-gli"
    assert [case.patient[-5:] for case in cases] == ["00000", "00000", "00001", "00002"]
    assert max(int(read_case(case).mask.max()) for case in cases) == 4
    assert make_split(cases).train


def test_phantom_table(tmp_path: Path) -> None:
    root = write_phantom(tmp_path / "phantom", layout="table", cases=1, spacing=8.0)
    cases = index_table(root / "cases.csv", {1: 1, 2: 2, 3: 3}, CANONICAL)
    assert [(case.case, case.patient) for case in cases] == [("case_000", "patient_000")]
    assert set(np.unique(read_case(cases[0]).mask)) <= {0, 1, 2, 3}
