"""Intervals hold the truth as often as they say, seeds included."""

import numpy as np
import pytest
from scipy import stats
from simulated import Truth

from lightning_brats.comparison.bootstrap import interval, resampled
from lightning_brats.comparison.uncertainty import Error, Pool, of_difference, of_mean, p_value


def coverage(truth: Truth, patients: int, seeds: int, repeats: int) -> tuple[float, float]:
    """How often the interval of a difference of 0.02, and of a mean of 0.8, holds it."""
    rng = np.random.default_rng(7)
    held = np.zeros(2)
    for _ in range(repeats):
        values = truth.draw(rng, (0.02, 0.0, 0.1), patients, seeds)
        pool, (a, b, _) = Pool.of(values), values
        means = resampled(values, pool, 600, rng)
        error = of_difference(a, b, pool)
        low, high = interval(means[0] - means[1], float(a.mean() - b.mean()), error)
        held[0] += low <= 0.02 <= high
        low, high = interval(means[1], float(b.mean()), of_mean(b, pool))
        held[1] += low <= 0.8 <= high
    return tuple(held / repeats)


@pytest.mark.parametrize(
    ("seed_effect", "patients", "seeds"), [(0.0, 30, 1), (0.01, 30, 3), (0.03, 60, 3)]
)
def test_coverage(seed_effect: float, patients: int, seeds: int) -> None:
    found = coverage(Truth(seed=seed_effect), patients, seeds, 300)
    assert min(found) > 0.95 - 2 * np.sqrt(0.95 * 0.05 / 300)


@pytest.mark.slow
@pytest.mark.parametrize("seed_effect", [0.0, 0.01, 0.03])
@pytest.mark.parametrize(("patients", "seeds"), [(10, 2), (12, 3), (40, 3), (100, 5)])
def test_coverage_at_length(seed_effect: float, patients: int, seeds: int) -> None:
    found = coverage(Truth(seed=seed_effect), patients, seeds, 2000)
    assert min(found) > 0.93
    assert max(found) < 0.995


def test_seed_luck_widens_the_interval() -> None:
    rng = np.random.default_rng(0)
    calm = Truth(seed=0.0).draw(rng, (0.0, 0.0), 40, 4)
    lucky = [own + shift for own, shift in zip(calm, ([0, 0.1, -0.1, 0.02], 0), strict=True)]
    widths = []
    for a, b in (calm, lucky):
        pool = Pool.of([a, b])
        means = resampled([a, b], pool, 2000, np.random.default_rng(1))
        error = of_difference(a, b, pool)
        low, high = interval(means[0] - means[1], float(a.mean() - b.mean()), error)
        widths.append(high - low)
    assert widths[1] > 3 * widths[0]


def test_one_run_gives_the_interval_of_the_paired_t_test() -> None:
    rng = np.random.default_rng(3)
    a, b = Truth().draw(rng, (0.03, 0.0), 15, 1)
    difference = (a - b)[:, 0]
    pool = Pool.of([a, b])
    means = resampled([a, b], pool, 20000, rng)
    error = of_difference(a, b, pool)
    found = interval(means[0] - means[1], float(difference.mean()), error)
    expected = stats.t.interval(0.95, 14, difference.mean(), stats.sem(difference))
    # The bootstrap sees that these differences are skewed, t does not; the widths agree.
    assert found[1] - found[0] == pytest.approx(expected[1] - expected[0], rel=0.02)
    assert found == pytest.approx(expected, abs=0.2 * stats.sem(difference))
    reference = stats.ttest_rel(a[:, 0], b[:, 0]).pvalue
    assert p_value(float(difference.mean()), error) == pytest.approx(reference)


def test_where_only_runs_vary_it_is_students_test() -> None:
    a = np.array([[0.80, 0.82, 0.87]] * 9)
    b = a[:, ::-1] - 0.05
    reference = stats.ttest_ind(a[0], b[0])
    error = of_difference(a, b, Pool.of([a, b]))
    assert error.freedom == pytest.approx(reference.df)
    found = p_value(float(a.mean() - b.mean()), error)
    assert found == pytest.approx(reference.pvalue)


def test_the_variance_of_runs_is_pooled_unless_a_choice_has_more() -> None:
    calm, wild = np.array([[0.8, 0.9, 1.0]]), np.array([[0.1, 0.9]])
    pool = Pool.of([calm, wild, np.array([[0.5]])])
    # Squares 0.02 and 0.32 over 2 + 1 degrees of freedom.
    assert pool.variance == pytest.approx(0.34 / 3)
    assert (pool.freedom, pool.choices) == (3, 2)
    assert pool.used(calm) == pool.used(np.array([[0.5]])) == pool.variance
    assert pool.used(wild) == pytest.approx(0.32)


def test_half_widths_add_like_banerjees() -> None:
    error = Error(0.09, 9, (0.02, 0.04), (2, 4), Pool(0.02, 6, 3))
    patients = stats.t.isf(0.025, 8) ** 2 * 0.01
    runs = stats.t.isf(0.025, 6) ** 2 * (0.01 + 0.01)
    assert error.half_width(0.05) == pytest.approx(np.sqrt(patients + runs))
    assert p_value(error.half_width(0.003), error) == pytest.approx(0.003)
    assert p_value(0.0, error) == 1
    assert p_value(1e9, error) < 1e-30


def test_resampled_means_vary_as_the_error_says() -> None:
    rng = np.random.default_rng(0)
    values = [rng.uniform(0, 1, (4, 2)), rng.uniform(0, 1, (4, 3))]
    pool = Pool.of(values)
    drawn = resampled(values, pool, 200_000, rng)
    for own, means in zip(values, drawn, strict=True):
        assert means.mean() == pytest.approx(own.mean(), abs=0.005)
        assert means.std() == pytest.approx(of_mean(own, pool).standard, rel=0.02)
    difference = (drawn[0] - drawn[1]).std()
    assert difference == pytest.approx(of_difference(*values, pool).standard, rel=0.02)


def test_one_patient_has_no_interval() -> None:
    a = np.array([[0.5, 0.7]])
    pool = Pool.of([a])
    means = resampled([a], pool, 200, np.random.default_rng(0))
    assert np.isnan(interval(means[0], 0.6, of_mean(a, pool))).all()
