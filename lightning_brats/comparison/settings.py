"""How a comparison is made."""

from __future__ import annotations

from dataclasses import dataclass

from lightning_brats.errors import ConfigError
from lightning_brats.metrics import METRICS

RANKED = ("dice", "hd95")
"""Metrics compared by default: the two that the BraTS challenges rank by."""

POLICIES = ("refuse", "warn")


@dataclass(frozen=True)
class Settings:
    """Choices of a comparison.

    Args:
        metrics: Names in `METRICS` that have a better direction; the first is the main one.
        regions: To compare; all that every entry has, when `None`.
        baseline: Choice the others are set against; the second best when `None`.
        resamples: Of the bootstrap, and of the ranking's stability.
        permutations: Of the permutation tests.
        alpha: Rate of false alarms over the family of all tests.
        power: Wanted where the analysis of power says what would be needed.
        seed: Of resampling and permuting.
        on_mismatch: `refuse` or `warn` where entries are not comparable as they are.
        common_cases: Compare on the cases that all choices have, leaving out the rest.

    Raises:
        ConfigError: A value that cannot be.
    """

    metrics: tuple[str, ...] = RANKED
    regions: tuple[str, ...] | None = None
    baseline: str | None = None
    resamples: int = 2000
    permutations: int = 10000
    alpha: float = 0.05
    power: float = 0.8
    seed: int = 0
    on_mismatch: str = "refuse"
    common_cases: bool = False

    def __post_init__(self) -> None:
        directed = [name for name, metric in METRICS.items() if metric.higher_is_better is not None]
        unknown = [name for name in self.metrics if name not in directed]
        if unknown or not self.metrics:
            named = f"metrics {unknown} cannot be compared" if unknown else "no metric is named"
            raise ConfigError(named, remedy=f"choose from {', '.join(directed)}")
        if self.on_mismatch not in POLICIES:
            problem = f"on_mismatch is '{self.on_mismatch}'"
            raise ConfigError(problem, remedy=f"one of {', '.join(POLICIES)}")
        if min(self.resamples, self.permutations) < 100:
            remedy = "give at least 100; 2000 resamples and 10000 permutations are usual"
            raise ConfigError("too few resamples or permutations for a p-value", remedy=remedy)
        if not (0 < self.alpha < 0.5 and 0 < self.power < 1):
            raise ConfigError(
                f"alpha {self.alpha:g} or power {self.power:g} is out of range",
                remedy="alpha=0.05 and power=0.8 are usual",
            )

    @property
    def main(self) -> str:
        """The metric that cost is set against."""
        return self.metrics[0]
