"""Predicted Dice and calibration: tables, what is read beside masks, figures by hand."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from conftest import LPS
from saved_masks import mask_of, save, three_cases

from lightning_brats.data.case import Case
from lightning_brats.errors import DataError
from lightning_brats.evaluation import examine, pair_files
from lightning_brats.evaluation.confidence import (
    BRAIN,
    NOT_ZERO,
    Confidence,
    case_calibration,
    mean_over_regions,
)
from lightning_brats.evaluation.soft import soft_files

REGIONS = ("WT", "TC", "ET")


@pytest.fixture
def cases(tmp_path: Path) -> list[Case]:
    return three_cases(tmp_path / "data")


@pytest.fixture
def folder(tmp_path: Path, cases: list[Case]) -> Path:
    """Masks, and what the prediction command writes beside them; none of the last case."""
    path = tmp_path / "predictions"
    path.mkdir()
    rows = []
    for number, case in enumerate(cases[:2]):
        save(path, f"{case.case}.nii.gz", case)
        write_probabilities(path, case, 0.75)
        write_map(path / f"{case.case}_entropy.nii.gz", case)
        write_map(path / f"{case.case}_mutual_information.nii.gz", case)
        rows.append([case.case, 1.0, 0.9 - 0.1 * number, 0.8, 0.7, ""])
    columns = ["case", "WT_ml", *(f"{r}_predicted_dice" for r in REGIONS), "tumour_entropy"]
    pd.DataFrame(rows, columns=columns).to_csv(path / "predictions.csv", index=False)
    return path


def write_probabilities(folder: Path, case: Case, sure: float) -> None:
    """`sure` in every region of the reference, 0 elsewhere."""
    labels = mask_of(case)
    members = {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,)}
    soft = np.stack([sure * np.isin(labels, m) for m in members.values()], -1)
    nib.save(
        nib.Nifti1Image(soft.astype(np.float32), LPS), folder / f"{case.case}_probabilities.nii.gz"
    )


def write_map(path: Path, case: Case) -> None:
    nib.save(nib.Nifti1Image(mask_of(case).astype(np.float32) / 7, LPS), path)


def test_soft_maps_are_neither_masks_nor_left_over(cases, folder) -> None:
    pairing = pair_files(folder, cases)
    assert pairing.extra == []
    assert pairing.missing == ["P2-1"]
    assert {path.name for path in pairing.files.values() if path} == {"P1-1.nii.gz", "P1-2.nii.gz"}
    (folder / "P1-1.nii.gz").unlink()
    assert pair_files(folder, cases).missing == ["P1-1", "P2-1"]


def test_what_the_prediction_command_wrote_is_compared_with_the_references(cases, folder) -> None:
    pairing = pair_files(folder, cases)
    soft = soft_files(folder, pairing)
    assert soft is not None
    assert soft.regions == REGIONS
    assert soft.predicted["P1-2"] == {"WT": 0.8, "TC": 0.8, "ET": 0.7}
    found = examine(pairing, cases, soft=soft).confidence
    assert found is not None
    assert found.within == BRAIN
    measured = found.pooled("WT")
    inside = sum(int((mask_of(case) > 0).sum()) for case in cases[:2])
    brain = sum(
        int((np.asanyarray(nib.load(c.images["t1c"].path).dataobj) != 0).sum()) for c in cases[:2]
    )
    assert measured.count.sum() == brain
    # In the tumour 0.75 was said and 1 is true; all around 0 is right.
    assert measured.ece == pytest.approx(0.25 * inside / brain)
    pairs = found.dice(examine(pairing, cases).scores)
    assert len(pairs) == 6  # two cases, three regions; the third case has no prediction
    assert (pairs["true"] == 1).all()


def test_without_images_the_voxels_with_a_probability_count(cases, folder) -> None:
    bare = [Case(c.case, c.patient, {}, c.scheme, mask=c.mask) for c in cases]
    pairing = pair_files(folder, bare)
    found = examine(pairing, bare, soft=soft_files(folder, pairing)).confidence
    assert found is not None
    assert found.within == NOT_ZERO
    assert found.pooled("ET").ece == pytest.approx(0.25)


def test_processes_measure_the_same(cases, folder) -> None:
    pairing = pair_files(folder, cases)
    soft = soft_files(folder, pairing)
    one, two = (examine(pairing, cases, soft=soft, workers=w).confidence for w in (1, 2))
    assert one is not None
    assert two is not None
    pd.testing.assert_frame_equal(one.calibration, two.calibration)
    pd.testing.assert_frame_equal(one.predicted, two.predicted)


def test_tables_that_are_not_ours_are_left_alone(cases, folder) -> None:
    pairing = pair_files(folder, cases)
    (folder / "predictions.csv").write_text("name,score\nP1-1,0.5\n")
    assert soft_files(folder, pairing) is None
    (folder / "predictions.csv").unlink()
    assert soft_files(folder, pairing) is None
    (folder / "predictions.csv").write_text("")
    with pytest.raises(DataError, match="cannot be read"):
        soft_files(folder, pairing)


def test_probabilities_that_do_not_fit_are_named(cases, folder) -> None:
    pairing = pair_files(folder, cases)
    soft = soft_files(folder, pairing)
    path = folder / "P1-2_probabilities.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((24, 28, 20, 2), np.float32), LPS), path)
    with pytest.raises(DataError, match=r"Case P1-2: the probabilities have shape"):
        examine(pairing, cases, soft=soft)
    nib.save(nib.Nifti1Image(np.zeros((20, 28, 20, 3), np.float32), LPS), path)
    with pytest.raises(DataError, match=r"not on the reference's grid(.|\n)*resample=true"):
        examine(pairing, cases, soft=soft)
    moved = examine(pairing, cases, soft=soft, resample=True).confidence
    assert moved is not None
    assert moved.pooled("WT").count.sum() > 0


def made() -> Confidence:
    """Three cases whose order of confidence is right for WT and wrong for ET."""
    soft, labels = np.zeros((2, 4, 1, 1))
    soft[:, 0, 0], labels[:2] = (0.9, 0.9, 0.1, 0.0), 2
    calibration = case_calibration([soft], labels.astype(np.uint8), ["WT"], None)
    predicted = {
        "a": {"WT": 0.9, "ET": 0.1},
        "b": {"WT": 0.8, "ET": 0.5},
        "NA": {"WT": 0.5, "ET": 0.9},
    }
    return Confidence.of(predicted, {"a": calibration, "b": calibration}, {"a": "x", "b": "x"})


def scores() -> pd.DataFrame:
    true = {"a": (0.8, 0.9), "b": (0.7, 0.5), "NA": (0.3, 0.1)}
    rows = [
        (case, case, "", region, "dice", value)
        for case, values in true.items()
        for region, value in zip(("WT", "ET"), values, strict=True)
    ]
    return pd.DataFrame(rows, columns=["case", "patient", "cohort", "region", "metric", "value"])


def test_figures_by_hand() -> None:
    found = made().summarise(scores())
    assert found["within"] == "x"
    whole = found["regions"]["WT"]
    assert whole["n"] == 3
    # Of each case 0.9, 0.9 and 0.1 count: |1.8 - 2| + |0.1 - 0| over 3 voxels.
    assert whole["ece"] == pytest.approx(0.3 / 3)
    assert whole["error"] == pytest.approx((0.1 + 0.1 + 0.2) / 3)
    assert whole["correlation"] == pytest.approx(1)
    # Risks 0.2, 0.3, 0.7 in the right order: (0.2 + 0.25 + 0.4) / 3.
    assert whole["aurc"] == whole["aurc_oracle"] == pytest.approx(0.85 / 3)
    assert whole["aurc_random"] == pytest.approx(0.4)
    enhancing = found["regions"]["ET"]
    assert enhancing["correlation"] == pytest.approx(-1)
    assert "ece" not in enhancing
    # Risks 0.9, 0.5, 0.1 in the wrong order: (0.9 + 0.7 + 0.5) / 3.
    assert enhancing["aurc"] == pytest.approx(0.7)
    means = mean_over_regions(made().dice(scores()))
    assert means["predicted"].tolist() == pytest.approx([0.5, 0.65, 0.7])
    assert means["true"].tolist() == pytest.approx([0.85, 0.6, 0.2])


def test_one_case_has_no_correlation() -> None:
    found = made().summarise(scores().query("case == 'a'"))
    assert found["regions"]["WT"]["correlation"] is None
    assert found["regions"]["mean"]["n"] == 1


def test_tables_read_back(tmp_path: Path) -> None:
    made().write(tmp_path)
    again = Confidence.read(tmp_path)
    assert again is not None
    pd.testing.assert_frame_equal(again.predicted, made().predicted)
    pd.testing.assert_frame_equal(again.calibration, made().calibration)
    assert again.pooled("WT").ece == pytest.approx(0.1)
    assert again.calibrated == ["WT"]
    (tmp_path / "calibration.csv").unlink()
    assert Confidence.read(tmp_path) is None


def test_a_run_may_have_no_calibration(tmp_path: Path) -> None:
    Confidence.of({"a": {"WT": 0.5}}, {}).write(tmp_path)
    again = Confidence.read(tmp_path)
    assert again is not None
    assert again.within is None
    assert again.calibrated == []
