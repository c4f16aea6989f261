"""Scoring saved masks: pairing of names, grids, codings, tables, summaries and the command."""

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from conftest import LPS, write_case

from lightning_brats.data.case import Case, write_mask
from lightning_brats.errors import ConfigError, DataError, LabelError
from lightning_brats.evaluation import (
    evaluate,
    pair_files,
    reference_cases,
    summarise,
    write_scores,
)
from lightning_brats.labels import SCHEMES
from lightning_brats.metrics import METRICS, score_case

ROOT = Path(__file__).parents[1]


def mask_of(case: Case) -> np.ndarray:
    return case.scheme.decode(np.asanyarray(nib.load(case.mask).dataobj))


def save(folder: Path, name: str, case: Case, labels=None, affine=LPS) -> Path:
    path = folder / name
    write_mask(path, mask_of(case) if labels is None else labels, affine, case.scheme)
    return path


@pytest.fixture
def cases(tmp_path: Path) -> list[Case]:
    """Three cases, two of one patient, coded with ET as 4."""
    return [
        write_case(tmp_path / "data", f"P{p}-{t}", f"P{p}", seed=10 * p + t)
        for p, t in ((1, 1), (1, 2), (2, 1))
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "predictions"
    path.mkdir()
    return path


def named(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).touch()


def stub(*names: str) -> list[Case]:
    return [Case(name, name, {}, SCHEMES["brats2023"]) for name in names]


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


@pytest.mark.parametrize(
    "name",
    [
        "BraTS-GLI-00005-100.nii.gz",
        "BraTS-GLI-00005-100.nii",
        "BraTS-GLI-00005-100_seg.nii.gz",
        "BraTS-GLI-00005-100-seg.nii.gz",
        "brats-gli-00005-100-pred.nii.gz",
        "unet_BraTS-GLI-00005-100.nii.gz",
        "unet-BraTS-GLI-00005-100_fold0.nii.gz",
        "00005-100.nii.gz",
        "BraTS-GLI-00005-100/BraTS-GLI-00005-100-seg.nii.gz",
    ],
)
def test_habits_of_naming(folder, name) -> None:
    named(folder, name, "BraTS-GLI-00005-101.nii.gz", "._BraTS-GLI-00005-100.nii.gz")
    cases = stub("BraTS-GLI-00005-100", "BraTS-GLI-00005-101", "BraTS-GLI-00006-100")
    pairing = pair_files(folder, cases)
    assert pairing.files["BraTS-GLI-00005-100"] == folder / name
    assert pairing.missing == ["BraTS-GLI-00006-100"]
    assert pairing.extra == []


def test_images_are_no_predictions(folder) -> None:
    named(folder, *(f"case_1_{m}.nii.gz" for m in ("t1", "t1ce", "t2", "flair", "seg")))
    assert pair_files(folder, stub("case_1")).files["case_1"].name == "case_1_seg.nii.gz"


def test_a_number_is_not_the_beginning_of_another(folder) -> None:
    named(folder, "case_1.nii.gz", "case_10.nii.gz", "model_case_1_2.nii.gz")
    pairing = pair_files(folder, stub("case_1", "case_10", "case_1_2"))
    found = {case: path.name for case, path in pairing.files.items()}
    assert found == {
        "case_1": "case_1.nii.gz",
        "case_10": "case_10.nii.gz",
        "case_1_2": "model_case_1_2.nii.gz",
    }


def test_the_better_name_wins_and_the_other_is_extra(folder) -> None:
    named(folder, "case_1.nii.gz", "old_case_1.nii.gz")
    pairing = pair_files(folder, stub("case_1"))
    assert pairing.files["case_1"].name == "case_1.nii.gz"
    assert [path.name for path in pairing.extra] == ["old_case_1.nii.gz"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["case_1.nii", "case_1.nii.gz"], "two files match"),
        (["a_case_1.nii.gz", "b_case_1.nii.gz"], "two files match"),
        (["100.nii.gz"], "may belong to"),
        (["x.nii.gz", "y.nii.gz"], "no prediction matches"),
        ([], "no prediction matches"),
    ],
)
def test_ambiguous_or_foreign_names_are_refused(folder, files, message) -> None:
    named(folder, *files)
    with pytest.raises(DataError, match=message) as error:
        pair_files(folder, stub("case_1", "a-100", "b-100"))
    assert "name the predictions <case>.nii.gz" in str(error.value)


def test_a_missing_folder_is_named(tmp_path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        pair_files(tmp_path / "nowhere", stub("case_1"))


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
    named(folder, "case_1.nii.gz")
    with pytest.raises(DataError, match="no reference mask"):
        evaluate(folder, stub("case_1"))


def test_references_in_a_plain_folder(cases, tmp_path) -> None:
    plain = tmp_path / "plain"
    for case in cases:
        save(plain, f"{case.case}_seg.nii.gz", case)
    found = reference_cases(plain, "brats2021")
    assert [case.case for case in found] == ["P1-1", "P1-2", "P2-1"]
    assert {case.scheme.name for case in found} == {"brats2018"}
    assert reference_cases(plain)[0].scheme.name == "brats2023"
    assert reference_cases(plain, {1: 1, 7: 3})[0].scheme.codes[7] == 3
    with pytest.raises(ConfigError, match="brats2021"):
        reference_cases(plain, "brats3000")


def test_references_in_a_data_set(tmp_path) -> None:
    for number in (1, 2):
        write_case(tmp_path, f"BraTS2021_0000{number}", seed=number)
    found = reference_cases(tmp_path)
    assert [case.case for case in found] == ["BraTS2021_00001", "BraTS2021_00002"]
    assert found[0].scheme.codes[4] == 3
    frame = evaluate(tmp_path, found)  # masks found among the images of each case's folder
    assert (frame.query("metric == 'dice'")["value"] == 1).all()


def table(values, patients=None, metric="dice") -> pd.DataFrame:
    patients = patients or [f"p{i}" for i in range(len(values))]
    pairs = zip(patients, values, strict=True)
    rows = [(f"c{i}", p, "", "ET", metric, v) for i, (p, v) in enumerate(pairs)]
    return pd.DataFrame(rows, columns=["case", "patient", "cohort", "region", "metric", "value"])


def test_summary_by_hand() -> None:
    found = summarise(table([0.0, 0.5, 0.6, 0.9]))["regions"]["ET"]["dice"]
    assert found["mean"] == pytest.approx(0.5)
    assert (found["median"], found["q1"], found["q3"]) == pytest.approx((0.55, 0.375, 0.675))
    assert found["sd"] == pytest.approx(np.std([0.0, 0.5, 0.6, 0.9], ddof=1))
    assert (found["n"], found["infinite"], found["undefined"]) == (4, 0, 0)
    assert 0 < found["low"] < 0.5 < found["high"] < 0.9


def test_infinite_distances_count_as_the_penalty_and_are_counted() -> None:
    for protocol, penalty in (("legacy", 374), ("brats2024-gli", 337)):
        summary = summarise(table([1.0, np.inf, 2.0], metric="hd95"), protocol)
        assert summary["penalty_mm"] == penalty
        found = summary["regions"]["ET"]["hd95"]
        assert found["mean"] == pytest.approx((3 + penalty) / 3)
        assert (found["n"], found["infinite"], found["median"]) == (3, 1, 2)


def test_other_infinite_and_undefined_values_are_left_out_and_counted() -> None:
    scores = table([10.0, np.inf, np.nan, 30.0], metric="volume_error")
    found = summarise(scores)["regions"]["ET"]["volume_error"]
    assert (found["mean"], found["n"], found["infinite"], found["undefined"]) == (20, 2, 1, 1)
    nothing = summarise(table([np.nan], metric="instance_f1"))["regions"]["ET"]["instance_f1"]
    assert (nothing["n"], nothing["mean"], nothing["low"]) == (0, None, None)


def test_the_interval_resamples_patients_not_cases() -> None:
    values = [0.1, 0.9, 0.5, 0.3] * 5
    apart = summarise(table(values))["regions"]["ET"]["dice"]
    together = summarise(table(values, [f"p{i % 4}" for i in range(20)]))["regions"]["ET"]["dice"]
    assert together["mean"] == pytest.approx(apart["mean"])
    assert together["high"] - together["low"] > 1.5 * (apart["high"] - apart["low"])
    standard_error = np.std(values) / np.sqrt(20)
    assert apart["high"] - apart["low"] == pytest.approx(2 * 1.96 * standard_error, rel=0.1)
    assert summarise(table(values)) == summarise(table(values))


def test_one_patient_has_no_interval() -> None:
    found = summarise(table([0.5, 0.7], ["p", "p"]))["regions"]["ET"]["dice"]
    assert (found["mean"], found["low"], found["high"]) == (pytest.approx(0.6), None, None)


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


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    script = str(ROOT / "experiments" / "evaluate.py")
    return subprocess.run(
        [sys.executable, script, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120
    )


def test_the_command_prints_a_table_and_writes_files(cases, folder, tmp_path) -> None:
    for case in cases[:2]:
        save(folder, f"{case.case}.nii.gz", case, np.roll(mask_of(case), 1, 0))
    plain = tmp_path / "plain"
    for case in cases:
        save(plain, f"{case.case}_seg.nii.gz", case)
    work = tmp_path / "work"
    work.mkdir()
    done = command(
        f"predictions={folder}",
        f"references={plain}",
        "labels=brats2021",
        "protocol=brats2023-gli",
        "output=scores",
        cwd=work,
    )
    assert done.returncode == 0, done.stderr
    for words in ("WT", "Dice", "lesion-wise", "1 case without a prediction", "P2-1", "374 mm"):
        assert words in done.stdout
    assert sorted(p.name for p in work.iterdir()) == ["scores"]
    written = {path.name for path in (work / "scores").iterdir()}
    assert written == {"evaluation.csv", "evaluation.parquet", "summary.json"}
    summary = json.loads((work / "scores" / "summary.json").read_text())
    assert (summary["cases"], summary["missing"]) == (3, ["P2-1"])
    dice = pd.read_csv(work / "scores" / "evaluation.csv").query("metric == 'dice'")
    mean = dice.query("region == 'WT'")["value"].mean()
    assert summary["regions"]["WT"]["dice"]["mean"] == pytest.approx(mean)
    assert f"{mean:.3f}" in done.stdout


def test_the_command_reports_errors_without_a_traceback(cases, folder, tmp_path) -> None:
    named(folder, "foreign.nii.gz")
    references = tmp_path / "plain"
    save(references, "P1-1.nii.gz", cases[0])
    done = command(f"predictions={folder}", f"references={references}", cwd=tmp_path)
    assert done.returncode == 2
    assert "no prediction matches a case" in done.stderr
    forgotten = command(f"predictions={folder}", cwd=tmp_path)
    assert forgotten.returncode == 2
    assert "not given: references" in forgotten.stderr
    assert "Traceback" not in done.stderr
