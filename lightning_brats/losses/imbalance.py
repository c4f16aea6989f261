"""Losses made for regions of few voxels: hard voxels first, small overlaps first.

Shapes: B batch, K outputs (regions, or background and classes), `...` two or three axes of space.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from monai.losses import TverskyLoss
from torch import Tensor, nn

from lightning_brats.losses.named import SMOOTH, dice, overlap
from lightning_brats.losses.terms import CrossEntropy, Head, Loss, one_hot

FLAT = 1e-6
"""Where a root of 1 - overlap is cut off: its slope at nought is infinite."""


def top_k_ce(head: Head, *, share: float = 0.1) -> nn.Module:
    """Cross-entropy of the hardest voxels (Wu et al. 2016), as nnU-Net's TopK loss.

    Args:
        head: `regions` or `labels`.
        share: Of the voxels of a batch that count; with regions, of the voxels of all regions.
    """
    return Loss(head, [CrossEntropy(head, hardest=share)])


def focal_tversky(
    head: Head,
    *,
    false_positive: float = 0.3,
    false_negative: float = 0.7,
    gamma: float = 4 / 3,
    batch: bool = False,
    smooth: float = SMOOTH,
) -> nn.Module:
    """Tversky loss to the power 1 / γ, which favours regions found badly (Abraham & Khan 2019).

    Args:
        head: `regions` or `labels`.
        false_positive: Weight of a false voxel.
        false_negative: Weight of a missed voxel.
        gamma: 1 is the Tversky loss; the authors try 1 to 3.
        batch: Count overlap over the batch instead of in each patch.
        smooth: Added to numerator and denominator.
    """
    return Loss(head, [FocalTversky(head, (false_positive, false_negative), gamma, batch, smooth)])


def log_cosh_dice(
    head: Head, *, batch: bool = False, squared: bool = False, smooth: float = SMOOTH
) -> nn.Module:
    """log cosh of the soft Dice loss, which is flat where Dice is nearly perfect (Jadon 2020).

    Args:
        head: `regions` or `labels`.
        batch: Count overlap over the batch instead of in each patch.
        squared: Squares in the denominator, as in V-Net.
        smooth: Added to numerator and denominator.
    """
    return Loss(head, [LogCosh(dice(head, batch=batch, squared=squared, smooth=smooth))])


def unified_focal(
    head: Head, *, weight: float = 0.5, delta: float = 0.6, gamma: float = 0.5
) -> nn.Module:
    """Asymmetric unified focal loss: focal cross-entropy and focal Tversky (Yeung et al. 2022).

    Foreground keeps its full cross-entropy while background's fades, and small overlaps of
    foreground are enhanced. Regions are so many binary problems, whose mean it is. Unlike MONAI's,
    it takes logits and any number of classes, and stays finite at a perfect overlap; like the
    authors' code, it sums cross-entropy over the classes of a voxel.

    Args:
        head: `regions` or `labels`.
        weight: Of the focal cross-entropy; that of Tversky is one minus this.
        delta: Weight of foreground, and of missed voxels; one minus this for the others.
        gamma: How fast background fades, and small overlaps are enhanced; in [0, 1).
    """
    return Loss(head, [UnifiedFocal(head, weight, delta, gamma)])


class FocalTversky(nn.Module):
    """Mean of (1 - Tversky index)^(1 / γ), see `focal_tversky`.

    Args:
        head: `regions` or `labels`.
        costs: Of a false and of a missed voxel.
        gamma: Root.
        batch: Count overlap over the batch.
        smooth: Added to numerator and denominator.
    """

    def __init__(
        self, head: Head, costs: tuple[float, float], gamma: float, batch: bool, smooth: float
    ) -> None:
        super().__init__()
        self.gamma = gamma
        self.tversky = TverskyLoss(
            **overlap(head),
            alpha=costs[0],
            beta=costs[1],
            batch=batch,
            smooth_nr=smooth,
            smooth_dr=smooth,
            reduction="none",
        )

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar loss."""
        return self.tversky(logits, target).clamp(min=FLAT).pow(1 / self.gamma).mean()


class LogCosh(nn.Module):
    """log cosh of a loss.

    Args:
        loss: (logits, target) → scalar.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar loss."""
        value = self.loss(logits, target)
        return value + F.softplus(-2 * value) - math.log(2)


class UnifiedFocal(nn.Module):
    """See `unified_focal`.

    Args:
        head: `regions` or `labels`.
        weight: Of cross-entropy against Tversky.
        delta: Of foreground.
        gamma: Focus.
    """

    def __init__(self, head: Head, weight: float, delta: float, gamma: float) -> None:
        super().__init__()
        self.head, self.weight, self.delta, self.gamma = head, weight, delta, gamma

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar loss."""
        masks = one_hot(self.head, logits, target)
        if self.head == "regions":  # a softmax over nought and x is the sigmoid of x
            logits = torch.stack((torch.zeros_like(logits), logits), 2).flatten(0, 1)
            masks = torch.stack((1 - masks, masks), 2).flatten(0, 1)
        logs = logits.log_softmax(1)
        p = logs.exp()
        ce = self.weight * self._cross_entropy(p, logs, masks)
        return ce + (1 - self.weight) * self._tversky(p, masks)

    def _cross_entropy(self, p: Tensor, logs: Tensor, masks: Tensor) -> Tensor:
        values = -masks * logs
        fading = (1 - p[:, 0]).clamp(min=FLAT) ** self.gamma
        background = (1 - self.delta) * fading * values[:, 0]
        return (background + self.delta * values[:, 1:].sum(1)).mean()

    def _tversky(self, p: Tensor, masks: Tensor) -> Tensor:
        space = tuple(range(2, p.ndim))
        hit = (p * masks).sum(space)
        missed, false = masks.sum(space) - hit, p.sum(space) - hit
        index = (hit + SMOOTH) / (hit + self.delta * missed + (1 - self.delta) * false + SMOOTH)
        lack = 1 - index
        raised = lack[:, 1:].clamp(min=FLAT) ** (1 - self.gamma)
        return torch.cat((lack[:, :1], raised), 1).mean()
