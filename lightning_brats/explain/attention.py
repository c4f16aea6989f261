"""What the attention gates let through, over a whole volume.

Shapes: B batch, C channels in, G gates, x y z the volume.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lightning_brats.models.blocks import AttentionGate
from lightning_brats.task import SegmentationTask

EDGE = 1e-6
"""Weights are kept so far from 0 and 1."""


class Gates(nn.Module):
    """A network whose outputs are its gates' weights, as logits: they are then blended like others.

    Args:
        net: With `attention_maps`.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net: Any = net

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, ...) → (B, G, ...), coarsest gate first."""
        return torch.cat(self.net.attention_maps(image), 1).float().logit(eps=EDGE)


def has_gates(net: nn.Module) -> bool:
    """Whether a network can tell what its gates let through."""
    gated = any(isinstance(module, AttentionGate) for module in net.modules())
    return gated and hasattr(net, "attention_maps")


def attention_volumes(task: SegmentationTask, image: Tensor, brain: Tensor) -> np.ndarray:
    """Weights of every gate.

    Args:
        task: The network, with gates.
        image: (C, x, y, z) on its device.
        brain: (x, y, z) bool.

    Returns:
        (G, x, y, z) in [0, 1], coarsest gate first; 0 where no window came.
    """
    shim = SegmentationTask(Gates(task.net), inference=task.inference).eval().to(task.device)
    return task.inference(shim, image, "regions", brain).cpu().numpy()
