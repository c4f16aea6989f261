"""Whether predictions know when they err: calibration of voxels, detection of failed cases.

Shapes: `N` cases, `X Y Z` voxels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lightning_brats.errors import DataError

BINS = 15
"""Equal intervals of probability, as many as Guo et al. take."""


@dataclass(frozen=True)
class Calibration:
    """Reliability of probabilities, by bin; add several cases' to pool them.

    A network is calibrated where, of the voxels given the probability p, the share p is positive
    (Guo et al., ICML 2017, arXiv:1706.04599).

    Args:
        count: (bins,) voxels in each bin of probability.
        confidence: (bins,) sum of their probabilities.
        positive: (bins,) how many of them are positive in the reference.
    """

    count: np.ndarray
    confidence: np.ndarray
    positive: np.ndarray

    @classmethod
    def measure(
        cls,
        probability: np.ndarray,
        reference: np.ndarray,
        within: np.ndarray | None = None,
        bins: int = BINS,
    ) -> Calibration:
        """Compare probabilities with what is there.

        Args:
            probability: (X, Y, Z) of one region or class.
            reference: (X, Y, Z) bool.
            within: (X, Y, Z) bool, voxels to look at: the brain, say, since the easy background
                would hide everything else.
            bins: Equal intervals of [0, 1]; each holds its lower end, the last one also 1.

        Raises:
            DataError: Shapes differ.
        """
        if probability.shape != reference.shape:
            raise DataError(f"probabilities {probability.shape}, reference {reference.shape}")
        chosen = slice(None) if within is None else within
        p, y = probability[chosen].ravel().astype(float), reference[chosen].ravel().astype(float)
        place = (p * bins).astype(np.intp).clip(0, bins - 1)
        sums = (np.bincount(place, weights, bins).astype(float) for weights in (None, p, y))
        return cls(*sums)

    def __add__(self, other: Calibration) -> Calibration:
        return Calibration(
            self.count + other.count,
            self.confidence + other.confidence,
            self.positive + other.positive,
        )

    def curve(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean probability, observed frequency and count of each bin that is not empty."""
        used = self.count > 0
        count = self.count[used]
        return self.confidence[used] / count, self.positive[used] / count, count

    @property
    def ece(self) -> float:
        """Expected calibration error (ECE; Naeini et al., AAAI 2015; Guo et al. 2017).

        The mean over voxels of the distance between a bin's mean probability and its frequency;
        here of one region's probability and presence, not of the winning class.
        """
        if not self.count.sum():
            return math.nan
        return float(np.abs(self.confidence - self.positive).sum() / self.count.sum())


@dataclass(frozen=True)
class RiskCoverage:
    """What is gained by leaving doubtful cases to a person.

    Cases are kept in order of confidence; the risk of those kept is drawn over their share
    (Geifman and El-Yaniv, NeurIPS 2017, arXiv:1705.08500).

    Args:
        coverage: (N,) share of cases kept, the most confident ones.
        risk: (N,) mean risk (1 - Dice) of the cases kept.
    """

    coverage: np.ndarray
    risk: np.ndarray

    @classmethod
    def measure(cls, predicted: Sequence[float], true: Sequence[float]) -> RiskCoverage:
        """From predicted and true Dice of the same N cases; cases of equal confidence share a risk.

        Raises:
            DataError: Lengths differ, or there is no case.
        """
        confidence, dice = np.asarray(predicted, float), np.asarray(true, float)
        if confidence.shape != dice.shape or confidence.ndim != 1 or not len(dice):
            raise DataError(
                f"{confidence.shape} predicted and {dice.shape} true scores; one of each a case"
            )
        rank = np.unique(-confidence, return_inverse=True)[1]
        tied = np.bincount(rank, 1 - dice) / np.bincount(rank)
        kept = np.arange(1, len(dice) + 1)
        return cls(kept / len(dice), np.cumsum(tied[np.sort(rank)]) / kept)

    @classmethod
    def oracle(cls, true: Sequence[float]) -> RiskCoverage:
        """The best possible curve: the confidence is the true Dice itself."""
        return cls.measure(true, true)

    @classmethod
    def random(cls, true: Sequence[float]) -> RiskCoverage:
        """The curve to expect where the confidence says nothing: flat, at the mean risk."""
        return cls.measure(np.zeros(len(true)).tolist(), true)

    @property
    def aurc(self) -> float:
        """Area under the curve: the mean risk over the N coverages, lower is better.

        The measure of failure detection that Jaeger et al. (ICLR 2023, arXiv:2211.15259) argue for.
        """
        return float(self.risk.mean())
