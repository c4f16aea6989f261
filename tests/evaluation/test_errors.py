"""Errors of small label volumes, by hand, and their tables read back."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from saved_masks import mask_of, save, three_cases

from lightning_brats.data.case import Case
from lightning_brats.evaluation import examine
from lightning_brats.evaluation.errors import EDGES, FILES, ErrorTables, case_errors
from lightning_brats.labels import ET, NETC, SCHEMES, SNFH

MM = (1.0, 1.0, 1.0)
REGIONS = ["WT", "ET"]


def volumes() -> tuple[np.ndarray, np.ndarray]:
    """A cube of SNFH, shifted by one voxel, with a core that is ET in one and NETC in the other."""
    reference, prediction = np.zeros((2, 24, 24, 24), np.uint8)
    reference[4:10, 4:10, 4:10] = SNFH
    prediction[5:11, 4:10, 4:10] = SNFH
    reference[6:8, 6:8, 6:8] = ET
    prediction[6:8, 6:8, 6:8] = NETC
    return reference, prediction


def test_errors_by_hand() -> None:
    found = case_errors(*volumes(), MM, REGIONS)
    layer, cube, core = 36, 216, 8
    # 36 voxels missed, 36 false, and 8 of the core mislabelled, of 216 + 36 in either mask.
    assert found.measures["all"]["misclassified"] == pytest.approx(
        (2 * layer + core) / (cube + layer)
    )
    whole = found.measures["WT"]
    assert whole["missed"] == whole["false"] == pytest.approx(layer / (cube + layer))
    assert whole["misclassified"] == pytest.approx(2 * layer / (cube + layer))
    assert (whole["distance_p5"], whole["distance_p50"], whole["distance_p95"]) == (-1, 0, 1)
    assert found.measures["ET"]["missed"] == 1
    assert found.measures["ET"]["assd"] == np.inf
    assert found.measures["ET"]["distance_p50"] == -np.inf
    # Nothing is farther than a voxel; what has no counterpart lies in the first bin.
    assert np.flatnonzero(found.areas["WT"]).tolist() == [19, 20, 21]
    assert np.flatnonzero(found.areas["ET"]).tolist() == [0]
    # Of each cube 5² mm² a face, a bevel √½ mm wide along 5 mm of its edges, √3/8 mm² a corner.
    surface = 6 * 25 + 12 * 5 * np.sqrt(0.5) + 8 * np.sqrt(3) / 8
    assert found.areas["WT"].sum() == pytest.approx(2 * surface)
    assert found.confusion[ET].tolist() == [0, core, 0, 0, 0]
    assert found.confusion[SNFH].tolist() == [layer, 0, cube - core - layer, 0, 0]
    assert found.confusion[0, SNFH] == layer
    assert found.confusion.sum() == 24**3


def test_the_box_does_not_matter() -> None:
    reference, prediction = volumes()
    wide = case_errors(np.pad(reference, 7), np.pad(prediction, 7), (1.0, 2.0, 3.0), REGIONS)
    tight = case_errors(reference, prediction, (1.0, 2.0, 3.0), REGIONS)
    assert wide.measures == tight.measures
    assert np.array_equal(wide.confusion[1:], tight.confusion[1:])
    assert wide.confusion.sum() == 38**3
    assert tight.voxel == pytest.approx(0.006)


def test_nothing_in_either_mask() -> None:
    nothing = np.zeros((5, 5, 5), np.uint8)
    found = case_errors(nothing, nothing, MM, REGIONS)
    assert found.measures["all"]["misclassified"] == 0
    assert np.isnan(found.measures["WT"]["assd"])
    assert found.confusion[0, 0] == 125


def tables() -> ErrorTables:
    cases = [Case(name, "p", {}, SCHEMES["brats2023"], cohort="GLI") for name in ("0012", "NA")]
    reference, prediction = volumes()
    return ErrorTables.of(
        cases,
        {
            "0012": case_errors(reference, prediction, MM, REGIONS),
            "NA": case_errors(reference, reference, MM, REGIONS),
        },
    )


def test_tables_read_back(tmp_path: Path) -> None:
    written = tables()
    written.write(tmp_path / "out")
    again = ErrorTables.read(tmp_path / "out")
    assert again is not None
    for name in ("measures", "distances", "confusion"):
        pd.testing.assert_frame_equal(getattr(written, name), getattr(again, name))
    assert set(again.measures["case"]) == {"0012", "NA"}
    (tmp_path / "out" / FILES[1]).unlink()
    assert ErrorTables.read(tmp_path / "out") is None


def test_profile_and_matrix_by_hand() -> None:
    found = tables()
    profile = found.profile("WT")
    assert profile is not None
    assert profile.sum() == pytest.approx(1)
    own = case_errors(*volumes(), MM, REGIONS).areas["WT"]
    middle = (len(EDGES) - 1) // 2
    # One case lies at 0 throughout; of both the mean counts, whatever their areas.
    assert profile[middle] == pytest.approx((1 + own[middle] / own.sum()) / 2)
    assert found.profile("RC") is None
    matrix = found.matrix()
    assert matrix[ET, NETC] == pytest.approx(8 / 1000)
    assert matrix[ET, ET] == pytest.approx(8 / 1000)
    joined = ErrorTables.join([found, found])
    assert joined.matrix() == pytest.approx(2 * matrix)


def test_errors_come_with_the_scores_in_any_number_of_processes(tmp_path: Path) -> None:
    cases = three_cases(tmp_path / "data")
    folder = tmp_path / "predictions"
    folder.mkdir()
    for shift, case in enumerate(cases[:2]):
        save(folder, f"{case.case}.nii.gz", case, np.roll(mask_of(case), shift, 0))
    one, two = (examine(folder, cases, workers=workers) for workers in (1, 2))
    assert one.errors is not None
    assert two.errors is not None
    pd.testing.assert_frame_equal(one.scores, two.scores)
    pd.testing.assert_frame_equal(one.errors.measures, two.errors.measures)
    iou = one.scores[one.scores["metric"] == "iou"]["value"].to_numpy()
    wrong = one.errors.measures.query("measure == 'misclassified' and region != 'all'")["value"]
    assert wrong.to_numpy() == pytest.approx(1 - iou)
    assert examine(folder, cases, boundary=False).errors is None
