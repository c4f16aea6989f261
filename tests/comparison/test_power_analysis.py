"""Power against published numbers and against simulation."""

import numpy as np
import pytest
from scipy import stats
from simulated import Truth, aligned_of, quick

from lightning_brats.comparison.paired import compare_pairs
from lightning_brats.comparison.power import (
    cases_needed,
    detectable,
    fewest_patients,
    needs,
    power,
    seeds_needed,
)
from lightning_brats.comparison.uncertainty import Error, Pool, of_difference, p_value


def of_patients(count: int, spread: float = 1.0) -> Error:
    """With one run each."""
    return Error(spread**2, count, (np.nan, np.nan), (1, 1), Pool(np.nan, 0, 0))


def of_both(spread: float, run: float, seeds: int, patients: int, choices: int = 2) -> Error:
    """With the same number of runs of every choice."""
    pool = Pool(run**2, choices * (seeds - 1), choices)
    return Error(spread**2, patients, (run**2, run**2), (seeds, seeds), pool)


def test_power_of_the_paired_t_test() -> None:
    # G*Power 3.1, means of matched pairs, two-sided: d_z 0.5, n 34, alpha 0.05 → 0.8078.
    assert power(0.5, of_patients(34), 0.05) == pytest.approx(0.8078, abs=2e-4)
    # Cohen (1988): d 0.5 needs 34 pairs, 0.8 needs 15, 0.2 needs 199 for a power of 0.8.
    for effect, pairs in ((0.5, 34), (0.8, 15), (0.2, 199)):
        assert cases_needed(effect, of_patients(10), 0.05) == pairs


def test_the_detectable_difference_has_the_wanted_power() -> None:
    error = of_both(0.05, 0.015, 3, 25)
    found = detectable(error, 0.01, 0.8)
    assert power(found, error, 0.01) == pytest.approx(0.8)
    assert power(0, error, 0.01) <= 0.01
    assert detectable(of_patients(34, 2.0), 0.05, 0.8078) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("patients", [3, 12, 200])
@pytest.mark.parametrize("shift", [0.1, 1.0, 2.5, 4.0])
def test_power_is_the_non_central_t_distributions(patients: int, shift: float) -> None:
    limit = stats.t.isf(0.005, patients - 1)
    tails = stats.nct(patients - 1, shift)
    found = power(shift / np.sqrt(patients), of_patients(patients), 0.01)
    assert found == pytest.approx(tails.sf(limit) + tails.cdf(-limit), abs=1e-5)


def test_cases_cannot_make_up_for_seeds() -> None:
    error = of_both(0.03, 0.02, 2, 25)
    assert cases_needed(0.02, error, 0.05) == np.inf
    needed = seeds_needed(0.02, error, 0.05)
    assert 2 < needed < 100
    assert power(0.02, error.resized(25, int(needed)), 0.05) >= 0.8
    assert power(0.02, error.resized(25, int(needed) - 1), 0.05) < 0.8


def test_seeds_cannot_make_up_for_cases_and_are_unknown_with_one() -> None:
    error = of_both(0.2, 0.001, 3, 10)
    assert seeds_needed(0.02, error, 0.05) == np.inf
    assert 100 < cases_needed(0.02, error, 0.05) < 2000
    assert np.isnan(seeds_needed(0.02, of_patients(10), 0.05))
    assert np.isnan(detectable(of_patients(1, float("nan")), 0.05))


def test_simulated_power_is_the_one_computed() -> None:
    rng = np.random.default_rng(0)
    truth, effect, patients, seeds = Truth(seed=0.02), 0.05, 30, 4
    rejected = [
        p_value(float(a.mean() - b.mean()), of_difference(a, b, Pool.of([a, b]))) < 0.05
        for a, b in (truth.draw(rng, (effect, 0.0), patients, seeds) for _ in range(1500))
    ]
    paired = np.sqrt(2 * (truth.choice_patient**2 + truth.rest**2 / seeds))
    run = np.sqrt(truth.seed**2 + truth.rest**2 / patients)
    expected = power(effect, of_both(paired, run, seeds, patients), 0.05)
    assert 0.5 < expected < 0.95
    assert np.mean(rejected) == pytest.approx(expected, abs=0.05)


def test_too_few_patients_for_the_signed_rank_test() -> None:
    # 2 / 2⁵ is above 0.05, 2 / 2⁶ below.
    assert fewest_patients(0.05) == 6
    assert (
        stats.wilcoxon(np.arange(1.0, 6)).pvalue > 0.05 > stats.wilcoxon(np.arange(1.0, 7)).pvalue
    )
    values = {"a": np.full((5, 2), 0.9), "b": np.linspace(0.1, 0.2, 10).reshape(5, 2)}
    aligned = aligned_of(values)
    (row,) = needs(aligned, compare_pairs(aligned, quick()), quick()).to_dict("records")
    assert row["detectable"] == np.inf
    assert row["cases_needed"] >= 6
    assert row["seeds_needed"] == np.inf


def test_the_table_uses_the_strictest_level_of_holm() -> None:
    rng = np.random.default_rng(0)
    values = Truth().draw(rng, (0.05, 0.0, 0.01), 20, 1)
    aligned = aligned_of(dict(zip("abc", values, strict=True)))
    table = needs(aligned, compare_pairs(aligned, quick()), quick())
    difference = (values[0] - values[1])[:, 0]
    row = table.query("a == 'a' and b == 'b'").iloc[0]
    error = of_patients(20, difference.std(ddof=1))
    assert row["detectable"] == pytest.approx(detectable(error, 0.05 / 3))
    assert np.isnan(row["seeds_needed"])
    simple = (stats.norm.isf(0.05 / 6) + stats.norm.isf(0.2)) * error.standard
    assert row["detectable"] == pytest.approx(simple, rel=0.15)
