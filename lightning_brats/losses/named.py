"""The losses by name. Overlaps are MONAI's; the tests hold them to values worked out by hand.

Overlap losses leave the background class out (but `generalised_dice`) and smooth by 1e-5 as nnU-Net
does, so that a region absent from both mask and prediction costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monai.losses import DiceLoss, FocalLoss, GeneralizedDiceLoss, TverskyLoss
from torch import nn

from lightning_brats.losses.terms import CrossEntropy, Head, Loss

SMOOTH = 1e-5


def overlap(head: Head) -> dict[str, Any]:
    """How MONAI's overlap losses are told the head."""
    labels = head == "labels"
    return {
        "sigmoid": not labels,
        "softmax": labels,
        "to_onehot_y": labels,
        "include_background": not labels,
    }


def _dice(head: Head, batch: bool, squared: bool, smooth: float) -> nn.Module:
    return DiceLoss(
        **overlap(head), batch=batch, squared_pred=squared, smooth_nr=smooth, smooth_dr=smooth
    )


def _focal(head: Head, gamma: float, alpha: float | None) -> nn.Module:
    labels = head == "labels"
    return FocalLoss(gamma=gamma, alpha=alpha, use_softmax=labels, to_onehot_y=labels)


def dice(
    head: Head, *, batch: bool = False, squared: bool = False, smooth: float = SMOOTH
) -> nn.Module:
    """Soft Dice (Milletari et al. 2016).

    Args:
        head: `regions` or `labels`.
        batch: Count overlap over the batch instead of in each patch.
        squared: Squares in the denominator, as in V-Net.
        smooth: Added to numerator and denominator.
    """
    return Loss(head, [_dice(head, batch, squared, smooth)])


def dice_ce(
    head: Head,
    *,
    batch: bool = False,
    squared: bool = False,
    smooth: float = SMOOTH,
    dice_weight: float = 1.0,
    ce_weight: float = 1.0,
) -> nn.Module:
    """Dice plus cross-entropy (binary for regions): nnU-Net's loss (Isensee et al. 2021)."""
    terms = [_dice(head, batch, squared, smooth), CrossEntropy(head)]
    return Loss(head, terms, (dice_weight, ce_weight))


def ce(head: Head) -> nn.Module:
    """Cross-entropy, binary for regions."""
    return Loss(head, [CrossEntropy(head)])


def weighted_ce(head: Head, *, foreground: float | Sequence[float] = 10.0) -> nn.Module:
    """Cross-entropy in which foreground voxels count more; see `CrossEntropy`."""
    return Loss(head, [CrossEntropy(head, foreground)])


def focal(head: Head, *, gamma: float = 2.0, alpha: float | None = None) -> nn.Module:
    """Focal loss (Lin et al. 2017): cross-entropy that fades for voxels already right.

    Args:
        head: `regions` or `labels`.
        gamma: How fast it fades; 0 is cross-entropy.
        alpha: Weight of foreground, that of background being 1 - alpha; `None` weights neither.
    """
    return Loss(head, [_focal(head, gamma, alpha)])


def dice_focal(
    head: Head,
    *,
    batch: bool = False,
    squared: bool = False,
    smooth: float = SMOOTH,
    gamma: float = 2.0,
    dice_weight: float = 1.0,
    focal_weight: float = 1.0,
) -> nn.Module:
    """Dice plus focal loss (Zhu et al. 2019)."""
    terms = [_dice(head, batch, squared, smooth), _focal(head, gamma, None)]
    return Loss(head, terms, (dice_weight, focal_weight))


def tversky(
    head: Head,
    *,
    false_positive: float = 0.3,
    false_negative: float = 0.7,
    batch: bool = False,
    smooth: float = SMOOTH,
) -> nn.Module:
    """Dice with missed voxels weighted above false ones (Salehi et al. 2017); .5 and .5 is Dice."""
    term = TverskyLoss(
        **overlap(head),
        alpha=false_positive,
        beta=false_negative,
        batch=batch,
        smooth_nr=smooth,
        smooth_dr=smooth,
    )
    return Loss(head, [term])


def generalised_dice(head: Head, *, batch: bool = False, smooth: float = SMOOTH) -> nn.Module:
    """One Dice over all classes, each weighted by its inverse squared volume (Sudre et al. 2017).

    Background is a class here, as published. A class that a patch lacks takes the largest weight
    of the others; a patch without any region teaches nothing with the head `regions`.
    """
    settings = overlap(head) | {"include_background": True}
    term = GeneralizedDiceLoss(**settings, batch=batch, smooth_nr=smooth, smooth_dr=smooth)
    return Loss(head, [term])
