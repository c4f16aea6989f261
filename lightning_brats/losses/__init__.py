"""Losses under one signature, `loss(logits, target) → scalar`, whatever the head.

    head      logits        target
    regions   (B, R, ...)   (B, R, ...) masks, which may overlap; one sigmoid a region
    labels    (B, K, ...)   (B, 1, ...) class of each voxel, 0 background; one softmax

B batch, R regions, K classes, `...` two or three axes of space. All are computed in single
precision, also under autocast. `configs/loss` has one file a loss.
"""

from lightning_brats.losses.adversarial import Adversary
from lightning_brats.losses.balance import foreground_weights
from lightning_brats.losses.compound import compound
from lightning_brats.losses.distance import dice_boundary, dice_hausdorff
from lightning_brats.losses.imbalance import (
    focal_tversky,
    log_cosh_dice,
    top_k_ce,
    unified_focal,
)
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
from lightning_brats.losses.supervision import DeepSupervision, deeply_supervised
from lightning_brats.losses.terms import CrossEntropy, Head, Loss

__all__ = [
    "Adversary",
    "CrossEntropy",
    "DeepSupervision",
    "Head",
    "Loss",
    "ce",
    "compound",
    "deeply_supervised",
    "dice",
    "dice_boundary",
    "dice_ce",
    "dice_focal",
    "dice_hausdorff",
    "focal",
    "focal_tversky",
    "foreground_weights",
    "generalised_dice",
    "log_cosh_dice",
    "top_k_ce",
    "tversky",
    "unified_focal",
    "weighted_ce",
]
