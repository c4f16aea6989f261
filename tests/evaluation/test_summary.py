"""Means, spread and intervals by hand."""

import numpy as np
import pandas as pd
import pytest

from lightning_brats.evaluation import summarise


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


def test_cases_are_averaged_over_their_regions() -> None:
    first, second = table([0.2, 0.8]), table([0.4, 0.4]).assign(region="WT")
    found = summarise(pd.concat([first, second]))["mean"]["dice"]
    # Means of the cases: 0.3 and 0.6.
    assert (found["mean"], found["median"], found["n"]) == (
        pytest.approx(0.45),
        pytest.approx(0.45),
        2,
    )
    assert (found["low"], found["high"]) == pytest.approx((0.3, 0.6))
    assert "lesion_dice" not in summarise(first)["mean"]
