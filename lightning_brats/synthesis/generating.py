"""Filling in a whole volume window by window.

Positions and weights are those of the sliding window that segments (`lightning_brats.inference`),
but only the windows that touch the hole are computed.

Shapes: `K` channels of the condition, `C` modalities, `x y z` a volume.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lightning_brats.inference.grid import brain_box, gaussian_weights, pad_to, windows

OVERLAP = 0.5


def generate(
    net: nn.Module, condition: Tensor, hole: Tensor, patch: Sequence[int], channels: int
) -> Tensor:
    """Modalities of a volume, 0 where no window came.

    Args:
        net: (1, K, *patch) → (1, C, *patch).
        condition: (K, x, y, z) on the network's device.
        hole: (x, y, z) bool: what is to be filled.
        patch: Window in voxels.
        channels: C.

    Returns:
        (C, x, y, z) float32.
    """
    out = condition.new_zeros((channels, *hole.shape))
    if not hole.any():
        return out
    box = brain_box(hole, patch)
    padded, wanted, inner = pad_to(condition[:, *box], hole[box], patch)
    weights = gaussian_weights(patch).to(condition.device)
    total, norm = out.new_zeros((channels, *wanted.shape)), out.new_zeros(wanted.shape)
    for window in windows(wanted.shape, patch, OVERLAP):
        if wanted[window].any():
            total[:, *window] += net(padded[None, :, *window])[0].float() * weights
            norm[window] += weights
    filled = torch.where(norm > 0, total / norm.clamp(min=1e-6), 0)
    out[:, *box] = filled[:, *inner]
    return out
