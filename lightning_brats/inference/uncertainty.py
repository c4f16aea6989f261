"""How sure a prediction is: by voxel, by case, and whether that can be believed.

Voxel-wise measures are shares of the largest possible value, so 0 is certain and 1 is a coin toss.

Shapes: `K` outputs, `R` regions, `M` members of an ensemble, `N` cases, `X Y Z` space.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lightning_brats.errors import DataError
from lightning_brats.postprocess import Head, region_probabilities


def entropy(probabilities: Tensor, head: Head) -> Tensor:
    """Entropy of a prediction (K, X, Y, Z).

    Returns:
        `regions`: (K, X, Y, Z), one binary entropy a region; `labels`: (X, Y, Z).
    """
    p = probabilities.float()
    if head == "labels":
        return torch.special.entr(p).sum(0) / math.log(len(p))
    return (torch.special.entr(p) + torch.special.entr(1 - p)) / math.log(2)


def mutual_information(members: Iterable[Tensor], head: Head) -> Tensor:
    """What the members disagree about: entropy of their mean less the mean of their entropies.

    High where the model does not know (epistemic), low where the image itself is ambiguous
    (Houlsby et al. 2011; Lakshminarayanan et al., NeurIPS 2017).

    Args:
        members: Probabilities (K, X, Y, Z) of each member; may be an iterator.
        head: As in `entropy`, and so is the shape returned.

    Raises:
        DataError: There is no member.
    """
    count, mean, within = 0, None, None
    for p in members:
        count += 1
        mean = p.float().clone() if mean is None else mean.add_(p)
        own = entropy(p, head)
        within = own if within is None else within.add_(own)
    if mean is None or within is None:
        raise DataError("mutual information needs at least one member's probabilities")
    return (entropy(mean.div_(count), head) - within.div_(count)).clamp_(min=0)


def predicted_dice(
    probabilities: Tensor, head: Head, regions: Sequence[str], threshold: float = 0.5
) -> dict[str, float]:
    """Dice to expect of each region, without a reference: 2 Σ p·m / (Σ p + Σ m), m = p > threshold.

    Where nothing is predicted (m empty) Dice is 1 if nothing is there, else 0; 1 - max p then
    stands for the chance of that.
    """
    scores = {}
    soft = region_probabilities(probabilities, regions, head)
    for region, p in zip(regions, soft, strict=True):
        p = p.double()
        mask = p > threshold
        if mask.any():
            scores[region] = float(2 * p[mask].sum() / (p.sum() + mask.sum()))
        else:
            scores[region] = float(1 - p.max())
    return scores


@dataclass(frozen=True)
class Calibration:
    """Reliability of probabilities, by bin; add several cases' to pool them.

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
        cls, probability: Tensor, reference: Tensor, within: Tensor | None = None, bins: int = 15
    ) -> Calibration:
        """Compare probabilities with what is there.

        Args:
            probability: (X, Y, Z) of one region or class.
            reference: (X, Y, Z) bool.
            within: (X, Y, Z) bool, voxels to look at: the brain, say, since the easy background
                would hide everything else.
            bins: Equal intervals of [0, 1].

        Raises:
            DataError: Shapes differ.
        """
        if probability.shape != reference.shape:
            raise DataError(
                f"probabilities {tuple(probability.shape)}, reference {tuple(reference.shape)}"
            )
        chosen = torch.ones_like(reference, dtype=torch.bool) if within is None else within
        p, y = probability[chosen].double(), reference[chosen].double()
        place = (p * bins).long().clamp_(0, bins - 1)
        sums = (torch.bincount(place, weights, bins) for weights in (None, p, y))
        return cls(*(each.double().cpu().numpy() for each in sums))

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
        """Expected calibration error: mean distance of the curve from the diagonal, by voxels."""
        if not self.count.sum():
            return math.nan
        return float(np.abs(self.confidence - self.positive).sum() / self.count.sum())


@dataclass(frozen=True)
class RiskCoverage:
    """What is gained by leaving doubtful cases to a person.

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

    @property
    def aurc(self) -> float:
        """Area under the curve (mean risk over coverages): lower is better."""
        return float(self.risk.mean())
