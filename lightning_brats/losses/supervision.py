"""Deep supervision: one loss on several resolutions (Lee et al. 2015).

Shapes: B batch, K outputs, `...` two or three axes of space.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DeepSupervision(nn.Module):
    """Lets any loss take the outputs of a deeply supervised network.

    A coarser output counts half as much as the one before, and is compared with the target at the
    nearest voxels; the weights sum to one. A single output is passed on as it is.

    Args:
        loss: (logits, target) → scalar.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, outputs: Tensor | Sequence[Tensor], target: Tensor) -> Tensor:
        """Scalar loss.

        Args:
            outputs: Logits; a list of them, finest first; or, as MONAI's DynUNet gives them,
                (B, levels, K, ...) stacked at full size.
            target: At full size.
        """
        if isinstance(outputs, Tensor):
            if outputs.ndim == target.ndim:
                return self.loss(outputs, target)
            outputs = outputs.unbind(1)
        weights = [0.5**level for level in range(len(outputs))]
        losses = [
            weight / sum(weights) * self.loss(logits, _resize(target, logits))
            for weight, logits in zip(weights, outputs, strict=True)
        ]
        return torch.stack(losses).sum()


def _resize(target: Tensor, logits: Tensor) -> Tensor:
    if target.shape[2:] == logits.shape[2:]:
        return target
    return F.interpolate(target.float(), size=logits.shape[2:], mode="nearest")
