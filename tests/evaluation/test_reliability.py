"""Calibration and failure detection against values worked out by hand, and against sampling."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lightning_brats.errors import DataError
from lightning_brats.evaluation.reliability import Calibration, RiskCoverage


def volume(*values: float) -> np.ndarray:
    return np.array(values)[:, None, None]


def test_calibration_by_hand() -> None:
    p = volume(0.1, 0.15, 0.6, 0.7, 1.0)
    reference = volume(0, 1, 1, 0, 1).astype(bool)
    measured = Calibration.measure(p, reference, bins=2)
    confidence, frequency, count = measured.curve()
    assert count.tolist() == [2, 3]
    assert confidence.tolist() == pytest.approx([0.125, 2.3 / 3])
    assert frequency.tolist() == pytest.approx([0.5, 2 / 3])
    # (|0.25 - 1| + |2.3 - 2|) / 5
    assert measured.ece == pytest.approx(0.21)


def test_calibration_of_cases_adds_up() -> None:
    rng = np.random.default_rng(1)
    p = rng.random((8, 10, 10))
    reference = rng.random((8, 10, 10)) < p
    whole = Calibration.measure(p, reference)
    parts = Calibration.measure(p[:3], reference[:3]) + Calibration.measure(p[3:], reference[3:])
    assert np.array_equal(whole.count, parts.count)
    assert parts.ece == pytest.approx(whole.ece)
    assert whole.ece < 0.08
    assert Calibration.measure(p**3, reference).ece > 0.2  # too doubtful
    within = np.zeros_like(reference)
    within[:3] = True
    assert np.array_equal(
        Calibration.measure(p, reference, within).count,
        Calibration.measure(p[:3], reference[:3]).count,
    )
    assert math.isnan(Calibration.measure(p, reference, np.zeros_like(reference)).ece)
    with pytest.raises(DataError):
        Calibration.measure(p, reference[:3])


def test_risk_coverage_by_hand() -> None:
    curve = RiskCoverage.measure([0.7, 0.9, 0.8], [0.1, 0.8, 0.9])
    assert curve.coverage.tolist() == pytest.approx([1 / 3, 2 / 3, 1])
    assert curve.risk.tolist() == pytest.approx([0.2, 0.15, 0.4])
    assert curve.aurc == pytest.approx(0.25)


def test_risk_of_equally_confident_cases_does_not_depend_on_their_order() -> None:
    for dice in ([0.2, 0.8, 1.0], [0.8, 0.2, 1.0]):
        curve = RiskCoverage.measure([0.5, 0.5, 0.4], dice)
        assert curve.risk.tolist() == pytest.approx([0.5, 0.5, 1 / 3])
    with pytest.raises(DataError):
        RiskCoverage.measure([0.5], [0.5, 0.4])
    with pytest.raises(DataError):
        RiskCoverage.measure([], [])


def test_bins_hold_their_lower_ends_and_the_last_one_its_upper() -> None:
    measured = Calibration.measure(volume(0.0, 0.5, 0.999, 1.0), volume(0, 0, 1, 1), bins=2)
    assert measured.count.tolist() == [1, 3]


def test_oracle_and_chance_bound_what_confidence_is_worth() -> None:
    dice = [0.1, 0.8, 0.9]
    # Best first: 0.1, (0.1 + 0.2) / 2, (0.1 + 0.2 + 0.9) / 3
    best = RiskCoverage.oracle(dice)
    assert best.risk.tolist() == pytest.approx([0.1, 0.15, 0.4])
    assert best.aurc == pytest.approx(0.65 / 3)
    chance = RiskCoverage.random(dice)
    assert chance.risk.tolist() == pytest.approx([0.4, 0.4, 0.4])
    assert chance.aurc == pytest.approx(0.4)
    reversed_order = RiskCoverage.measure([0.9, 0.5, 0.1], dice)
    assert reversed_order.risk.tolist() == pytest.approx([0.9, 0.55, 0.4])
    assert reversed_order.aurc > chance.aurc > best.aurc


def test_the_random_curve_is_the_mean_over_orders() -> None:
    rng = np.random.default_rng(0)
    dice = rng.random(12)
    orders = [RiskCoverage.measure(rng.permutation(12).tolist(), dice).aurc for _ in range(4000)]
    assert np.mean(orders) == pytest.approx(RiskCoverage.random(dice).aurc, abs=0.01)
