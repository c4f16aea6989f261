"""How sure a prediction is, by voxel and by case; `evaluation.reliability` tells if it is right.

Voxel-wise measures are shares of the largest possible value, so 0 is certain and 1 is a coin toss.

Shapes: `K` outputs, `X Y Z` space.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

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
