"""Losses under one signature, `loss(logits, target) → scalar`, whatever the head.

    head      logits        target
    regions   (B, R, ...)   (B, R, ...) masks, which may overlap; one sigmoid a region
    labels    (B, K, ...)   (B, 1, ...) class of each voxel, 0 background; one softmax

B batch, R regions, K classes, `...` two or three axes of space. All are computed in single
precision, also under autocast. `configs/loss` has one file a loss.
"""

from lightning_brats.losses.named import (
    ce,
    dice,
    dice_ce,
    dice_focal,
    focal,
    generalised_dice,
    tversky,
    weighted_ce,
)
from lightning_brats.losses.supervision import DeepSupervision
from lightning_brats.losses.terms import CrossEntropy, Head, Loss

__all__ = [
    "CrossEntropy",
    "DeepSupervision",
    "Head",
    "Loss",
    "ce",
    "dice",
    "dice_ce",
    "dice_focal",
    "focal",
    "generalised_dice",
    "tversky",
    "weighted_ce",
]
