"""How sure a mean and a difference are, with patients and runs drawn at random.

A mean over P patients and S runs errs for two reasons: other patients would have scored otherwise,
and another seed would have trained another network. With two or three runs a choice, the second
variance is known so badly that a choice's own estimate is often far too small. So it is pooled
over all choices, and a choice's own is used only where that is larger. The two errors are combined
by Banerjee's rule (Calcutta Stat Assoc Bull 10:114, 1960): the squared half width of an interval
is the sum of the variances, each times the squared quantile of t for its own degrees of freedom.
It never covers less than it says, which rules with estimated degrees of freedom do.

Shapes: `P` patients, `S` runs of a choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize, special


@dataclass(frozen=True)
class Pool:
    """What runs change, over all choices.

    Args:
        variance: Of one run's mean; NaN where no choice has a second run.
        freedom: Its degrees of freedom.
        choices: How many choices are pooled.
    """

    variance: float
    freedom: int
    choices: int

    @classmethod
    def of(cls, values: Sequence[np.ndarray]) -> Pool:
        """Of one (P, S) a choice."""
        means = [own.mean(0) for own in values if own.shape[1] > 1]
        freedom = sum(len(own) - 1 for own in means)
        squares = sum(float(((own - own.mean()) ** 2).sum()) for own in means)
        return cls(squares / freedom if freedom else float("nan"), freedom, len(means))

    def used(self, values: np.ndarray) -> float:
        """Variance that is used for a choice: the pooled one, or its own (P, S) if larger."""
        own = values.mean(0)
        return max(self.variance, float(own.var(ddof=1))) if len(own) > 1 else self.variance


@dataclass(frozen=True)
class Error:
    """Of an estimate.

    Args:
        patients: Variance of one patient's value, or paired difference; NaN with one patient.
        n: Patients.
        runs: Variance of one run's mean, of each choice that takes part; NaN where unknown.
        counts: Runs of each of them.
        pool: Where the variances of runs come from.
    """

    patients: float
    n: int
    runs: tuple[float, ...]
    counts: tuple[int, ...]
    pool: Pool

    @property
    def parts(self) -> list[tuple[float, int]]:
        """Variances that add up, each with its degrees of freedom."""
        found = [(self.patients / self.n, self.n - 1)]
        if self.pool.freedom:
            runs = sum(v / s for v, s in zip(self.runs, self.counts, strict=True))
            found.append((runs, self.pool.freedom))
        return found

    @property
    def standard(self) -> float:
        """Standard error."""
        return float(np.sqrt(sum(variance for variance, _ in self.parts)))

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the squared standard error, after Satterthwaite."""
        squares = sum(variance**2 / df for variance, df in self.parts if variance > 0)
        return self.standard**4 / squares if squares > 0 else float(self.n - 1)

    def half_width(self, alpha: float) -> float:
        """Of the interval that misses the truth with probability alpha."""
        squares = (v * special.stdtrit(df, alpha / 2) ** 2 for v, df in self.parts if v > 0)
        return float(np.sqrt(sum(squares)))

    def resized(self, n: int, runs: int | None = None) -> Error:
        """What it would be with other numbers of patients, and of runs of every choice."""
        if runs is None:
            return replace(self, n=n)
        pool = replace(self.pool, freedom=self.pool.choices * (runs - 1))
        return replace(self, n=n, counts=(runs,) * len(self.counts), pool=pool)


def of_mean(values: np.ndarray, pool: Pool) -> Error:
    """Error of the mean of (P, S) values."""
    return _error(values.mean(1), (values,), pool)


def of_difference(a: np.ndarray, b: np.ndarray, pool: Pool) -> Error:
    """Error of the mean difference of (P, S) and (P, S') values of the same patients."""
    return _error(a.mean(1) - b.mean(1), (a, b), pool)


def p_value(difference: float, error: Error) -> float:
    """Two-sided, of no difference; where runs are unknown, the paired t-test over patients."""
    if np.isnan(error.standard):
        return float("nan")
    if difference == 0:
        return 1.0
    lowest = 1e-100
    if error.half_width(lowest) <= abs(difference):
        return 0.0
    found = optimize.brentq(
        lambda log: error.half_width(float(np.exp(log))) - abs(difference), np.log(lowest), 0.0
    )
    return float(np.exp(found))


def _error(patients: np.ndarray, choices: tuple[np.ndarray, ...], pool: Pool) -> Error:
    variance = float(patients.var(ddof=1)) if len(patients) > 1 else float("nan")
    runs = tuple(pool.used(values) for values in choices)
    return Error(variance, len(patients), runs, tuple(v.shape[1] for v in choices), pool)
