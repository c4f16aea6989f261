"""Deep supervision: one loss on several resolutions (Lee et al. 2015).

Shapes: B batch, K outputs, `...` two or three axes of space.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_brats.errors import ConfigError
from lightning_brats.losses.terms import Head


def deeply_supervised(
    head: Head, *, loss: Callable[..., nn.Module], weights: Sequence[float]
) -> nn.Module:
    """A loss with weights of its outputs' levels, see `DeepSupervision`.

    Args:
        head: `regions` or `labels`.
        loss: Makes the loss of a head.
        weights: Of the outputs, finest first.
    """
    return DeepSupervision(loss(head=head), weights)


class DeepSupervision(nn.Module):
    """Lets any loss take the outputs of a deeply supervised network.

    A coarser output is compared with the target at the nearest voxels. A single output is passed on
    as it is.

    Args:
        loss: (logits, target) → scalar.
        weights: Of the outputs, finest first; scaled to sum to one. An output of weight 0 is left
            out. By default each counts half as much as the one before.

    Raises:
        ConfigError: Weights that are negative or all 0.
    """

    def __init__(self, loss: nn.Module, weights: Sequence[float] | None = None) -> None:
        super().__init__()
        if weights is not None and (min(weights, default=-1) < 0 or not sum(weights)):
            raise ConfigError(f"weights of deep supervision {list(weights)}: none is to be below 0")
        self.loss, self.weights = loss, weights

    def forward(self, outputs: Tensor | Sequence[Tensor], target: Tensor) -> Tensor:
        """Scalar loss.

        Args:
            outputs: Logits; a list of them, finest first; or, as MONAI's DynUNet gives them,
                (B, levels, K, ...) stacked at full size.
            target: At full size.

        Raises:
            ConfigError: Not one weight an output.
        """
        if isinstance(outputs, Tensor):
            if outputs.ndim == target.ndim:
                return self.loss(outputs, target)
            outputs = outputs.unbind(1)
        weights = self.weights or [0.5**level for level in range(len(outputs))]
        if len(weights) != len(outputs):
            raise ConfigError(
                f"{len(weights)} weights of deep supervision for {len(outputs)} outputs"
            )
        losses = [
            weight / sum(weights) * self.loss(logits, _resize(target, logits))
            for weight, logits in zip(weights, outputs, strict=True)
            if weight
        ]
        # Of an output that is left out no voxel: nothing is added, whatever it holds, and yet its
        # head has a gradient, of 0, for which processes that train together wait.
        unused = [
            logits[:0].sum(dtype=losses[0].dtype)
            for weight, logits in zip(weights, outputs, strict=True)
            if not weight
        ]
        return torch.stack([*losses, *unused]).sum()


def _resize(target: Tensor, logits: Tensor) -> Tensor:
    if target.shape[2:] == logits.shape[2:]:
        return target
    return F.interpolate(target.float(), size=logits.shape[2:], mode="nearest")
