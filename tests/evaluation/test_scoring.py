"""Saved masks to rows: values, missing files, grids, codings, processes."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from conftest import LPS
from saved_masks import mask_of, save, three_cases

from lightning_brats.data.case import Case
from lightning_brats.errors import ConfigError, DataError, LabelError
from lightning_brats.evaluation import evaluate, write_scores
from lightning_brats.labels import SCHEMES
from lightning_brats.metrics import METRICS, score_case


@pytest.fixture
def cases(tmp_path: Path) -> list[Case]:
    return three_cases(tmp_path / "data")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "predictions"
    path.mkdir()
    return path


def test_scores_are_those_of_the_arrays(cases, folder) -> None:
    expected = {}
    for shift, case in enumerate(cases):
        predicted = np.roll(mask_of(case), shift, 0)
        save(folder, f"{case.case}.nii.gz", case, predicted)
        expected[case.case] = score_case(mask_of(case), predicted)
    frame = evaluate(folder, cases)
    assert list(frame.columns) == ["case", "patient", "cohort", "region", "metric", "value"]
    assert frame["case"].unique().tolist() == [case.case for case in cases]
    assert frame["region"].unique().tolist() == ["WT", "TC", "ET"]
    assert frame["patient"].unique().tolist() == ["P1", "P2"]
    for row in frame.itertuples():
        assert row.value == pytest.approx(expected[row.case][row.region][row.metric], nan_ok=True)
    first = frame[(frame["case"] == "P1-1") & (frame["metric"] == "dice")]
    assert first["value"].tolist() == [1, 1, 1]


def test_other_protocols_and_regions(cases, folder) -> None:
    for case in cases:
        save(folder, f"{case.case}.nii.gz", case)
    frame = evaluate(folder, cases, "brats2023-gli", regions=["ET"])
    assert frame["region"].unique().tolist() == ["ET"]
    assert {"lesion_dice", "lesion_tp"} <= set(frame["metric"])
    with pytest.raises(ConfigError, match="unknown protocol"):
        evaluate(folder, cases, "brats1999")


def test_processes_give_the_same_rows_in_the_same_order(cases, folder) -> None:
    for case in cases[1:]:
        save(folder, f"{case.case}.nii.gz", case, np.roll(mask_of(case), 1, 1))
    seen: list[tuple[int, int]] = []
    several = evaluate(folder, cases, workers=2, progress=lambda *done: seen.append(done))
    pd.testing.assert_frame_equal(several, evaluate(folder, cases, workers=1))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_a_missing_prediction_scores_as_empty_and_is_listed(cases, folder) -> None:
    save(folder, "P1-1.nii.gz", cases[0])
    save(folder, "somebody-else.nii.gz", cases[0])
    frame = evaluate(folder, cases)
    assert frame.attrs["missing"] == ["P1-2", "P2-1"]
    assert [Path(path).name for path in frame.attrs["extra"]] == ["somebody-else.nii.gz"]
    missed = frame[frame["case"] == "P2-1"].set_index(["region", "metric"])["value"]
    assert missed["ET", "dice"] == 0
    assert np.isinf(missed["ET", "hd95"])
    assert missed["WT", "volume_error"] == -100


def test_another_grid_is_refused_or_resampled(cases, folder) -> None:
    case = cases[0]
    labels = mask_of(case)
    flipped = LPS.copy()
    flipped[0] = [1, 0, 0, -(labels.shape[0] - 1)]  # the same voxels, stored the other way round
    path = save(folder, "P1-1.nii.gz", case, labels[::-1], flipped)
    with pytest.raises(DataError, match=r"Case P1-1: the affines(.|\n)*resample=true") as error:
        evaluate(folder, [case])
    assert str(path) in str(error.value)
    frame = evaluate(folder, [case], resample=True)
    assert frame.query("metric == 'dice'")["value"].tolist() == [1, 1, 1]

    save(folder, "P1-1.nii.gz", case, labels[:-2])
    with pytest.raises(DataError, match=r"shape \(22, 28, 20\), the reference \(24, 28, 20\)"):
        evaluate(folder, [case])


def test_another_coding_is_refused(cases, folder) -> None:
    path = folder / "P1-1.nii.gz"
    nib.save(nib.Nifti1Image(np.full((24, 28, 20), 3, np.uint8), LPS), path)
    with pytest.raises(LabelError, match=r"Case P1-1(.|\n)*\[3\](.|\n)*P1-1\.nii\.gz"):
        evaluate(folder, cases)  # ET is 4 here


def test_a_broken_file_ends_parallel_scoring_with_its_name(cases, folder) -> None:
    for case in cases:
        save(folder, f"{case.case}.nii.gz", case)
    (folder / "P1-2.nii.gz").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"Case P1-2(.|\n)*P1-2\.nii\.gz"):
        evaluate(folder, cases, workers=2)


def test_a_case_without_reference_is_refused(folder) -> None:
    (folder / "case_1.nii.gz").touch()
    with pytest.raises(DataError, match="no reference mask"):
        evaluate(folder, [Case("case_1", "1", {}, SCHEMES["brats2023"])])


def test_tables_read_back(cases, folder, tmp_path) -> None:
    save(folder, "P1-1.nii.gz", cases[0])
    frame = evaluate(folder, cases)
    write_scores(frame, tmp_path / "scores")
    for again in (
        pd.read_csv(tmp_path / "scores" / "evaluation.csv", keep_default_na=False),
        pd.read_parquet(tmp_path / "scores" / "evaluation.parquet"),
    ):
        assert np.allclose(again["value"].astype(float), frame["value"], equal_nan=True)
        assert again["metric"].tolist() == frame["metric"].tolist()
        assert set(again["metric"]) <= set(METRICS)
