"""Several data sets at once: what they share, and what stays each one's own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from conftest import write_case

from lightning_brats.data.cohorts import (
    Root,
    check_same_tissues,
    check_writable_regions,
    joint_scheme,
)
from lightning_brats.data.reading import read_case, write_mask
from lightning_brats.data.sources import CaseSource, load_cases
from lightning_brats.data.splits import make_split
from lightning_brats.errors import ConfigError, DataError
from lightning_brats.labels import SCHEMES, LabelScheme

EARLY, LATE = "BraTS2021_00001", "BraTS-GLI-00007-100"


@pytest.fixture
def roots(tmp_path: Path) -> tuple[Path, Path]:
    """A case of 2021 (ET is 4) and one of 2024 (ET is 3, and 4 a cavity), which has a cavity."""
    write_case(tmp_path / "a", EARLY, scheme=SCHEMES["brats2018"])
    late = write_case(tmp_path / "b", LATE, seed=1, scheme=SCHEMES["brats2024"])
    assert late.mask is not None
    mask = nib.load(late.mask)
    data = np.asarray(mask.dataobj).copy()
    data[10:12, 10:12, 3] = 4
    nib.save(nib.Nifti1Image(data, mask.affine), late.mask)
    return tmp_path / "a", tmp_path / "b"


def load(*roots: Path | dict, **options) -> CaseSource:
    return load_cases(roots=roots, **options)


def test_joint_regions_are_those_of_every_coding(roots: tuple[Path, Path]) -> None:
    source = load(*roots)
    assert source.name == "a + b"
    assert {c.case: c.cohort for c in source.cases} == {LATE: "BraTS2024-GLI", EARLY: "BraTS2021"}
    assert {case.scheme.regions for case in source.cases} == {("WT", "TC", "ET")}
    assert load(roots[1]).cases[0].scheme.regions == ("WT", "TC", "ET", "RC")


def test_a_tissue_that_one_coding_lacks_is_background_in_all(roots: tuple[Path, Path]) -> None:
    late = next(case for case in load(*roots).cases if case.case == LATE)
    alone = load(roots[1]).cases[0]
    joined, whole = read_case(late).mask, read_case(alone).mask
    assert joined is not None
    assert whole is not None
    assert set(np.unique(whole)) == {0, 1, 2, 3, 4}
    assert np.array_equal(joined, np.where(whole == 4, 0, whole))


def test_each_mask_is_written_in_its_own_coding(roots: tuple[Path, Path], tmp_path: Path) -> None:
    enhancing = {}
    for case in load(*roots).cases:
        path = tmp_path / f"{case.case}.nii.gz"
        write_mask(path, np.full((2, 2, 2), 3, np.uint8), np.eye(4), case.scheme)
        enhancing[case.case] = int(np.asarray(nib.load(path).dataobj).max())
    assert enhancing == {EARLY: 4, LATE: 3}


def test_a_region_that_one_coding_lacks_is_refused(roots: tuple[Path, Path]) -> None:
    with pytest.raises(ConfigError, match=r"masks of .*a \(1 NETC.*do not tell RC"):
        load(*roots, regions=["WT", "RC"])
    assert load(*roots, regions=["WT"]).scheme.regions == ("WT",)


def test_one_coding_for_a_checkpoint_has_every_label(roots: tuple[Path, Path]) -> None:
    source = load(*roots)
    assert len(source.schemes) == 2
    assert source.scheme.regions == ("WT", "TC", "ET")
    assert set(source.scheme.codes.values()) == {0, 1, 2, 3}
    only_core, only_oedema = (LabelScheme(n, {1: k}, ("WT",)) for n, k in (("c", 1), ("o", 2)))
    assert dict(joint_scheme([only_core, only_oedema]).codes) == {0: 0, 1: 1, 2: 2}


def test_one_examination_in_two_data_sets_is_refused(
    roots: tuple[Path, Path], tmp_path: Path
) -> None:
    write_case(tmp_path / "c", EARLY, seed=5)
    with pytest.raises(DataError, match=f"{EARLY}: two cases have this identifier") as error:
        load(roots[0], tmp_path / "c")
    assert "prefix" in str(error.value)
    renamed = load(roots[0], {"root": tmp_path / "c", "prefix": "c_", "cohort": "C"})
    assert {(case.case, case.patient, case.cohort) for case in renamed.cases} == {
        (EARLY, EARLY, "BraTS2021"),
        (f"c_{EARLY}", f"c_{EARLY}", "C"),
    }
    skipped = load(roots[0], tmp_path / "c", on_bad_case="skip")
    assert [case.images["t1c"].path.parent.parent for case in skipped.cases] == [roots[0]]
    assert [error.case for error in skipped.excluded] == [EARLY]


def test_one_patient_in_two_data_sets_is_one_patient(tmp_path: Path) -> None:
    coding = SCHEMES["brats2024"]
    for number in range(8):
        write_case(tmp_path / "a", f"BraTS-GLI-{number:05d}-100", seed=number, scheme=coding)
        write_case(tmp_path / "b", f"BraTS-GLI-{number:05d}-101", seed=20 + number, scheme=coding)
    source = load(tmp_path / "a", tmp_path / "b")
    split = make_split(source.cases, validation=0.3, test=0.3)
    for part in (split.train, split.validation, split.test):
        assert {n for n in part if n.endswith("-101")} == {
            n.replace("-100", "-101") for n in part if n.endswith("-100")
        }


def test_folders_without_a_release_s_names_are_their_own_cohort(tmp_path: Path) -> None:
    write_case(tmp_path / "site one", "x1")
    write_case(tmp_path / "site two", "x2", seed=1)
    source = load(tmp_path / "site one", tmp_path / "site two", labels="brats2018")
    assert [case.cohort for case in source.cases] == ["site one", "site two"]
    other = load(
        tmp_path / "site one",
        {"root": tmp_path / "site two", "labels": {1: 1, 2: 2, 4: 3}},
        labels="brats2018",
    )
    assert [case.scheme.name for case in other.cases] == ["brats2018", "custom"]


def test_settings_of_a_root_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown keys \\['coding'\\]"):
        Root.parse({"root": "/a", "coding": "x"})
    with pytest.raises(ConfigError, match="no 'root'"):
        Root.parse({"layout": "msd"})
    with pytest.raises(ConfigError, match="both given"):
        load_cases(root=tmp_path, roots=[tmp_path])


def test_one_softmax_needs_the_same_tissues() -> None:
    early, late = SCHEMES["brats2018"], SCHEMES["brats2023"]
    check_same_tissues([early, late])  # other values, same tissues
    with pytest.raises(ConfigError, match="head=regions"):
        check_same_tissues([early, SCHEMES["brats2024"]])


def test_a_coding_that_cannot_hold_a_prediction_is_refused_early() -> None:
    check_writable_regions(list(SCHEMES.values()))
    core_only = LabelScheme("core", {1: 1}, ("WT", "TC"))  # what is WT alone has no value
    with pytest.raises(ConfigError, match=r"no value for SNFH[\s\S]*data\.regions=\[TC\]"):
        check_writable_regions([core_only])
    check_writable_regions([replace(core_only, regions=("TC",))])


def nnunet(root: Path, channels: list[str], labels: dict) -> None:
    case = write_case(root / "made", "x")
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir()
    source = list(case.images.values())
    for number in range(len(channels)):
        path = root / "imagesTr" / f"case1_{number:04d}.nii.gz"
        path.write_bytes(source[number % 4].path.read_bytes())
    assert case.mask is not None
    (root / "labelsTr" / "case1.nii.gz").write_bytes(case.mask.read_bytes())
    names = {str(i): name for i, name in enumerate(channels)}
    content = {"channel_names": names, "labels": labels, "file_ending": ".nii.gz"}
    (root / "dataset.json").write_text(json.dumps(content))


def test_more_than_four_modalities_and_fewer(tmp_path: Path) -> None:
    labels = {"background": 0, "NCR": 1, "edema": 2, "enhancing": 4}
    nnunet(tmp_path, ["T1", "T1ce", "T2", "FLAIR", "ADC"], labels)
    source = load_cases(tmp_path)
    assert source.modalities == ("t1n", "t1c", "t2w", "t2f", "ADC")
    assert read_case(source.cases[0]).image.shape[0] == 5
    fewer = load_cases(tmp_path, modalities=["ADC", "t1c", "t2f"])
    assert fewer.modalities == ("ADC", "t1c", "t2f")
    assert read_case(fewer.cases[0]).image.shape[0] == 3
