"""A training step on the GPU, to see whether sizes that were counted fit, and the next ones to try.

Shapes: `px py pz` a patch.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from lightning_brats.fitting import SMALLEST, STATES, STEP, too_little
from lightning_brats.losses import DeepSupervision, dice_ce

TRIED = 2
"""Of the numbers held for each weight, those that a trial has: the weight and its gradient."""


@dataclass(frozen=True)
class Trial:
    """A training step on a GPU, to see what it takes.

    Args:
        net: The network.
        channels: Modalities.
        device: The GPU.
        dtype: Of autocast; `None` for full precision.
        budget: Bytes that training may take.
    """

    net: nn.Module
    channels: int
    device: torch.device
    dtype: torch.dtype | None
    budget: float

    def fits(self, patch: Sequence[int], batch: int) -> bool:
        """Whether a step with so many patches fits, and what its optimiser holds beside it."""
        before = torch.cuda.memory_allocated(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)
        try:
            self.step(patch, batch)
            taken = torch.cuda.max_memory_allocated(self.device) - before
        except torch.OutOfMemoryError:
            return False
        finally:
            self.net.zero_grad(set_to_none=True)
            self.net.cpu()  # so that the next trial counts the weights too
            torch.cuda.empty_cache()
        weights = sum(parameter.numel() for parameter in self.net.parameters())
        return taken + 4 * (STATES - TRIED) * weights <= self.budget

    def step(self, patch: Sequence[int], batch: int) -> None:
        """Forward and backward, with the default loss over all outputs."""
        flat = [size for size in patch if size > 1] if 1 in patch else list(patch)
        net = self.net.to(self.device).train()
        image = torch.zeros(batch, self.channels, *flat, device=self.device)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
            outputs = net(image)
            finest = outputs[0] if isinstance(outputs, list | tuple) else outputs
            count = finest.shape[-len(flat) - 1]
            target = torch.zeros(batch, count, *flat, dtype=torch.bool, device=self.device)
            loss = DeepSupervision(dice_ce(head="regions"))(outputs, target)
        loss.backward()


def smaller(
    patch: Sequence[int], batch: int, free: Collection[str], budget: float
) -> tuple[tuple[int, ...], int]:
    """The next sizes to try where a step did not fit after all; the batch gives way first.

    Args:
        patch: (px, py, pz) that was tried.
        batch: Patches that were tried.
        free: `patch_size`, `batch_size` or both: what may change.
        budget: Bytes, for the message.

    Raises:
        ConfigError: What may change is as small as it gets.
    """
    if "batch_size" in free and batch > 2:
        return tuple(patch), max(2, int(batch * 0.85))
    axes = [axis for axis, size in enumerate(patch) if size > SMALLEST]
    if "patch_size" not in free or not axes:
        raise too_little(patch, batch, budget)
    longest = max(axes, key=lambda axis: patch[axis])
    shrunk = max(patch[longest] - STEP, SMALLEST)
    return tuple(shrunk if axis == longest else s for axis, s in enumerate(patch)), batch
