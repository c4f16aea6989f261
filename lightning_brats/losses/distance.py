"""Losses that weight an error by its distance from the boundary, each added to Dice.

The distance transforms run on the processor (the `edt` package, after Felzenszwalb & Huttenlocher
2012), so a GPU waits for them in each step. Distances are in voxels. A mask that is empty or full
has no boundary and adds nothing: Dice has to teach those.

Shapes: B batch, K outputs (regions, or background and classes), `...` two or three axes of space.
"""

from __future__ import annotations

import edt
import numpy as np
import torch
from torch import Tensor, nn

from lightning_brats.losses.named import SMOOTH, dice
from lightning_brats.losses.terms import Head, Loss, foreground


def dice_boundary(
    head: Head,
    *,
    batch: bool = False,
    smooth: float = SMOOTH,
    dice_weight: float = 1.0,
    boundary_weight: float = 0.01,
) -> nn.Module:
    """Dice plus boundary loss (Kervadec et al. 2019).

    The authors raise the boundary's weight by 0.01 an epoch from 0.01; here it stays.

    Args:
        head: `regions` or `labels`.
        batch: Count Dice's overlap over the batch instead of in each patch.
        smooth: Added to Dice's numerator and denominator.
        dice_weight: Of Dice.
        boundary_weight: Of the boundary loss, which is in voxels.
    """
    terms = [dice(head, batch=batch, smooth=smooth), Boundary(head)]
    return Loss(head, terms, (dice_weight, boundary_weight))


def dice_hausdorff(
    head: Head,
    *,
    batch: bool = False,
    smooth: float = SMOOTH,
    alpha: float = 2.0,
    dice_weight: float = 1.0,
    hausdorff_weight: float = 0.01,
) -> nn.Module:
    """Dice plus Hausdorff loss by distance transforms (Karimi & Salcudean 2019).

    The authors balance both after each epoch; here the weights stay.

    Args:
        head: `regions` or `labels`.
        batch: Count Dice's overlap over the batch instead of in each patch.
        smooth: Added to Dice's numerator and denominator.
        alpha: Power of the distance.
        dice_weight: Of Dice.
        hausdorff_weight: Of the Hausdorff loss, which is in voxels to the power `alpha`.
    """
    terms = [dice(head, batch=batch, smooth=smooth), Hausdorff(head, alpha)]
    return Loss(head, terms, (dice_weight, hausdorff_weight))


class Boundary(nn.Module):
    """Mean of φ · (p - t): φ is the distance to the reference's boundary, negative inside.

    Subtracting t, which does not change gradients, makes a perfect prediction cost nothing.

    Args:
        head: `regions` or `labels`.
    """

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = head

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar loss, in voxels."""
        p, masks = foreground(self.head, logits, target)
        inside, outside = distances(masks)
        signed = outside - (inside - 1).clamp(min=0)  # the outermost voxels inside are the boundary
        return (signed * (p - masks)).mean()


class Hausdorff(nn.Module):
    """Mean of (p - t)² · (d_p^α + d_t^α): d is the distance to each mask's boundary.

    Args:
        head: `regions` or `labels`.
        alpha: Power of the distance.
    """

    def __init__(self, head: Head, alpha: float = 2.0) -> None:
        super().__init__()
        self.head, self.alpha = head, alpha

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar loss, in voxels to the power α."""
        p, masks = foreground(self.head, logits, target)
        far = sum(sum(distances(of)) ** self.alpha for of in (p.detach(), masks))
        return ((p - masks).square() * far).mean()


def distances(masks: Tensor) -> tuple[Tensor, Tensor]:
    """How far each voxel inside is from outside (0 for others), and the reverse.

    Args:
        masks: Masks or probabilities (B, K, ...); above ½ is inside.

    Returns:
        Two tensors like `masks`, in voxels; 0 throughout a mask that is empty or full.
    """
    found = (masks > 0.5).cpu().numpy()
    fields = np.zeros((2, *found.shape), np.float32)
    threads = torch.get_num_threads()
    for index in np.ndindex(found.shape[:2]):
        mask = found[index]
        if mask.any() and not mask.all():
            fields[(0, *index)] = edt.edt(mask, parallel=threads)
            fields[(1, *index)] = edt.edt(~mask, parallel=threads)
    inside, outside = torch.from_numpy(fields).to(masks)
    return inside, outside
