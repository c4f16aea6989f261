"""What a comparison could have shown, and what it would need to show what it saw.

Power is that of the test of the mean paired difference, whose error holds patients and seeds
(`uncertainty`). Its level is that of the strictest step of Holm's correction, alpha divided by the
number of tests, so that what is said here holds after correction. Below a number of patients the
signed-rank test cannot reach that level, however large the difference.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import optimize, special

from lightning_brats.comparison.alignment import Aligned
from lightning_brats.comparison.settings import Settings
from lightning_brats.comparison.uncertainty import Error, Pool, of_difference

MOST_PATIENTS = 100_000
MOST_SEEDS = 1_000
"""Beyond these, more of one kind would not do: the other one limits."""
NODES, WEIGHTS = (part / 2 for part in np.polynomial.legendre.leggauss(200))
NODES = NODES + 0.5
"""Of Gauss and Legendre's rule on the interval from 0 to 1."""


def needs(aligned: Aligned, pairs: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """What each pair would need.

    Args:
        aligned: Values.
        pairs: From `compare_pairs`.
        settings: Level and power.

    Returns:
        Columns a, b, region, metric, detectable (difference shown with the wanted power, infinite
        with too few patients), cases_needed and seeds_needed (of each choice) for the difference
        that was seen, each with the other number as it is; infinite where it alone would not do,
        NaN where unknown.
    """
    level = strictest_level(pairs, settings)
    fewest = fewest_patients(level)
    place = {choice: number for number, choice in enumerate(aligned.choices)}
    rows = []
    for row in pairs.itertuples(index=False):
        cell = aligned.cell(row.region, row.metric)
        pool = Pool.of(cell.values)
        error = of_difference(cell.values[place[row.a]], cell.values[place[row.b]], pool)
        enough = error.n >= fewest or error.n < 2
        seeds = seeds_needed(row.difference, error, level, settings.power)
        cases = cases_needed(row.difference, error, level, settings.power)
        rows.append(
            {
                "a": row.a,
                "b": row.b,
                "region": row.region,
                "metric": row.metric,
                "detectable": detectable(error, level, settings.power) if enough else np.inf,
                "cases_needed": np.maximum(cases, fewest),
                "seeds_needed": seeds if enough or np.isnan(seeds) else np.inf,
            }
        )
    return pd.DataFrame(rows)


def strictest_level(pairs: pd.DataFrame, settings: Settings) -> float:
    """Alpha of the first step of Holm's correction."""
    return settings.alpha / max(int(pairs["p_holm"].notna().sum()), 1)


def fewest_patients(alpha: float) -> int:
    """Patients from which on the signed-rank test can reach a level; its smallest p is 2 / 2ᴾ."""
    return int(np.floor(1 - np.log2(alpha))) + 1


def power(difference: float, error: Error, alpha: float) -> float:
    """Chance to show a true difference."""
    if not error.standard > 0:
        return float("nan") if np.isnan(error.standard) else float(difference != 0)
    limit = error.half_width(alpha) / error.standard
    return _power(abs(difference) / error.standard, error.freedom, limit)


def detectable(error: Error, alpha: float, wanted: float = 0.8) -> float:
    """Smallest true difference that is shown with the wanted power."""
    if not error.standard > 0:
        return error.standard
    limit = error.half_width(alpha) / error.standard
    shift = optimize.brentq(
        lambda shift: _power(shift, error.freedom, limit) - wanted, 0, 10 * limit + 100
    )
    return float(shift * error.standard)


def cases_needed(difference: float, error: Error, alpha: float, wanted: float = 0.8) -> float:
    """Patients needed, with as many runs as there are."""
    return _smallest(
        lambda n: power(difference, error.resized(n), alpha) >= wanted,
        2,
        MOST_PATIENTS,
        difference,
        error,
    )


def seeds_needed(difference: float, error: Error, alpha: float, wanted: float = 0.8) -> float:
    """Runs of each choice needed, with as many patients as there are.

    NaN where every choice has one run: how much seeds change is then unknown.
    """
    if not error.pool.freedom:
        return float("nan")
    return _smallest(
        lambda count: power(difference, error.resized(error.n, count), alpha) >= wanted,
        2,
        MOST_SEEDS,
        difference,
        error,
    )


def _smallest(
    enough: Callable[[int], bool], low: int, high: int, difference: float, error: Error
) -> float:
    """Smallest number that is enough, by bisection."""
    if np.isnan(error.standard) or np.isnan(difference):
        return float("nan")
    if difference == 0 or not enough(high):
        return float("inf")
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return float(low)


def _power(shift: float, freedom: float, limit: float) -> float:
    """Two-sided, of a t-test whose statistic is off by `shift` standard errors.

    The distribution function of the non-central t, by quadrature over the estimated error:
    libraries' own fails (NaN) for some large shifts.
    """
    errors = np.sqrt(2 * special.gammaincinv(freedom / 2, NODES) / freedom)
    passed = special.ndtr(shift - limit * errors) + special.ndtr(-shift - limit * errors)
    return float(WEIGHTS @ passed)
