"""What scanners and people call their series."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from made_scans import grid, sample, write_series

from lightning_brats.data.raw.series import find_examinations, modality_of_series
from lightning_brats.errors import ConfigError, DataError
from lightning_brats.labels import MODALITIES, SCHEMES

SPACING = (5.0, 5.0, 6.0)
SCHEME = SCHEMES["brats2023"]


@pytest.mark.parametrize(
    ("text", "modality"),
    [
        ("t1_mprage_sag_p2_iso", "t1n"),
        ("t1_mprage_sag_p2_iso_GD", "t1c"),
        ("MPRAGE +C", "t1c"),
        ("Ax T1 POST", "t1c"),
        ("T1 SE tra KM", "t1c"),
        ("T1 SE tra ohne KM", "t1n"),
        ("T1 FSPGR pre contrast", "t1n"),
        ("AX T1 W/O CONTRAST", "t1n"),
        ("sT1W_3D_TFE_Gado", "t1c"),
        ("BRAVO 3D Gd", "t1c"),
        ("AX T1 FLAIR", "t1n"),
        ("t1ce", "t1c"),
        ("t1c", "t1c"),
        ("T1C+", "t1c"),
        ("T1W_SE", "t1n"),
        ("Ax T2 FLAIR FS", "t2f"),
        ("t2_tirm_tra_dark-fluid", "t2f"),
        ("FLAIR_LongTR", "t2f"),
        ("3D FLAIR post", "t2f"),
        ("AX T2 FSE", "t2w"),
        ("t2_tse_tra_512", "t2w"),
        ("T2w SPACE sag", "t2w"),
        ("T2* GRE", None),
        ("t2_star_epi", None),
        ("ep2d_diff_3scan_trace_ADC", None),
        ("DWI b1000", None),
        ("SWI_Images", None),
        ("localizer", None),
        ("3 Plane Loc SSFSE", None),
        ("TOF 3D", None),
        ("perfusion T2 epi", None),
        ("Phoenix Report", None),
        ("", None),
    ],
)
def test_descriptions(text: str, modality: str | None) -> None:
    assert modality_of_series(text) == modality


def test_a_noted_contrast_agent_decides() -> None:
    assert modality_of_series("t1_mprage", agent=True) == "t1c"
    assert modality_of_series("t1 without", agent=True) == "t1n"
    assert modality_of_series("t2_tse", agent=True) == "t2w"


NAMES = {"t1n": "T1 MPRAGE", "t1c": "T1 MPRAGE GD", "t2w": "T2 TSE", "t2f": "FLAIR"}


def write_study(root: Path, names: dict[str, str] = NAMES, study: str = "1.2.3") -> Path:
    affine = grid(SPACING)
    for number, (modality, name) in enumerate(names.items()):
        data = sample(modality, (22, 22, 6), affine)
        write_series(root / f"SE{number:04}", data, affine, name, study)
    return root


def test_an_examination_becomes_a_case(tmp_path: Path) -> None:
    (examination,) = find_examinations(write_study(tmp_path / "patient7"))
    case = examination.case(MODALITIES, SCHEME)
    assert case.case == "patient7"
    assert list(case.images) == list(MODALITIES)
    folders = {modality: ref.path.parent.name for modality, ref in case.images.items()}
    assert folders == {"t1n": "SE0000", "t1c": "SE0001", "t2w": "SE0002", "t2f": "SE0003"}
    assert all(len(ref.slices) == 6 for ref in case.images.values())
    assert len(case.files) == 24


def test_folders_name_what_descriptions_do_not(tmp_path: Path) -> None:
    affine = grid(SPACING)
    for modality in MODALITIES:
        write_series(tmp_path / modality, sample(modality, (22, 22, 6), affine), affine, "series")
    (examination,) = find_examinations(tmp_path)
    case = examination.case(MODALITIES, SCHEME)
    assert all(ref.path.parent.name == modality for modality, ref in case.images.items())


def test_what_is_not_recognised_is_listed_with_the_way_out(tmp_path: Path) -> None:
    names = NAMES | {"t2w": "axial brain", "t2f": "FLAIR"}
    (examination,) = find_examinations(write_study(tmp_path / "p", names))
    with pytest.raises(DataError, match="no series for t2w") as error:
        examination.case(MODALITIES, SCHEME)
    message = str(error.value)
    assert "'axial brain' (SE0002, 6 slices) → ?" in message
    assert "'FLAIR' (SE0003, 6 slices) → t2f" in message
    assert "modalities_from={t2w:" in message
    case = examination.case(MODALITIES, SCHEME, {"t2w": "*Brain"})
    assert case.images["t2w"].path.parent.name == "SE0002"


def test_two_series_for_one_modality_have_to_be_told_apart(tmp_path: Path) -> None:
    names = NAMES | {"more": "T2 TSE cor"}
    affine = grid(SPACING)
    root = write_study(tmp_path / "p")
    write_series(root / "SE0009", sample("t2w", (22, 22, 6), affine), affine, names["more"])
    (examination,) = find_examinations(root)
    with pytest.raises(DataError, match="2 series for t2w"):
        examination.case(MODALITIES, SCHEME)
    case = examination.case(MODALITIES, SCHEME, {"t2w": "se0009"})
    assert case.images["t2w"].path.parent.name == "SE0009"


def test_patterns_for_what_nobody_wants(tmp_path: Path) -> None:
    (examination,) = find_examinations(write_study(tmp_path / "p"))
    with pytest.raises(ConfigError, match="modalities_from names dwi"):
        examination.case(MODALITIES, SCHEME, {"dwi": "*"})


def test_several_studies_are_cases_by_their_folders(tmp_path: Path) -> None:
    write_study(tmp_path / "anna", study="1.1")
    write_study(tmp_path / "berta" / "2020", study="1.2")
    found = find_examinations(tmp_path)
    assert [examination.name for examination in found] == ["anna", "berta_2020"]
    assert all(len(examination.series) == 4 for examination in found)


def test_two_studies_in_one_folder_are_an_error(tmp_path: Path) -> None:
    write_study(tmp_path / "p", study="1.1")
    for folder in sorted(write_study(tmp_path / "q", study="1.2").iterdir()):
        folder.rename(tmp_path / "p" / f"second_{folder.name}")
    for root in (tmp_path, tmp_path / "p"):
        with pytest.raises(DataError, match="several studies in"):
            find_examinations(root)


def test_nifti_files_of_one_case(tmp_path: Path) -> None:
    folder = tmp_path / "case9"
    folder.mkdir()
    for name in ("3_t1_mprage", "8_t1_mprage_Gd", "5_t2_tse", "6_flair", "9_swi"):
        nib.save(
            nib.Nifti1Image(np.ones((4, 4, 4), np.float32), np.eye(4)), folder / f"{name}.nii.gz"
        )
    (examination,) = find_examinations(folder)
    case = examination.case(MODALITIES, SCHEME)
    assert case.case == "case9"
    assert case.images["t1c"].path.name == "8_t1_mprage_Gd.nii.gz"
    assert not case.images["t1c"].slices


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="neither NIfTI nor DICOM"):
        find_examinations(tmp_path)
