"""Patch and batch sizes that fill the memory at hand.

As nnU-Net plans (Isensee et al., Nat Methods 2021): the patch starts as a whole typical volume and
loses 16 voxels on its relatively longest axis until two of it fit; what memory is left then goes
into the batch. What a step needs is counted on tensors without values, so nothing is run; on a GPU
one step is tried, and the sizes go down where that fails.

Shapes: `C` modalities, `px py pz` a patch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil
import torch
from torch import nn

from lightning_brats.errors import ConfigError
from lightning_brats.models.cost import describe

STEP = 16
"""Voxels that a patch loses on an axis; 16 keeps four halvings even."""
SMALLEST = 32
SHARE = 0.85
"""Of the free memory: the rest is for kernels' scratch space, fragments and validation."""
STATES = 5
"""Numbers held for each weight: itself, its gradient, two moments, an average."""
BACKWARD = 1.5
"""Peak of a step over what forward keeps: gradients of activations come on top while it runs."""
DATASET_SHARE = 0.05
"""Of the training voxels, at most, in one batch (nnU-Net's rule)."""


@dataclass(frozen=True)
class Need:
    """Bytes of a training step.

    Args:
        fixed: Weights, gradients and the optimiser's state.
        voxel: For each voxel of each patch.
    """

    fixed: float
    voxel: float

    def bytes(self, patch: Sequence[int], batch: int) -> float:
        """Of a step with so many patches."""
        return self.fixed + self.voxel * batch * _voxels(patch)


def estimate(net: nn.Module, channels: int, patch: Sequence[int], half: bool) -> Need:
    """What a training step of a network needs, counted without running it.

    Args:
        net: The network.
        channels: Modalities.
        patch: (px, py, pz) to count at; an axis of 1 for slices.
        half: Whether activations have 16 bits.
    """
    flat = [size for size in patch if size > 1] if 1 in patch else list(patch)
    cost = describe(net, (channels, *flat))
    kept = cost["activation_gib"] * 2**30 * (0.5 if half else 1) * BACKWARD
    return Need(STATES * 4 * cost["parameters"], kept / _voxels(patch))


def fit_sizes(
    need: Callable[[Sequence[int]], Need],
    budget: float,
    shape: Sequence[int],
    most: int,
    patch: Sequence[int] | None = None,
    batch: int | None = None,
) -> tuple[tuple[int, ...], int]:
    """The largest patch of which two fit, and as many of it as fit.

    Args:
        need: Patch → what a step with it needs.
        budget: Bytes.
        shape: (x, y, z) of a typical volume, of which an axis of 1 makes slices.
        most: Voxels in a batch.
        patch: Kept as it is, where given.
        batch: Likewise.

    Raises:
        ConfigError: Not even the smallest fits.
    """
    wanted = batch or 2
    chosen = [-(-size // STEP) * STEP if size > 1 else 1 for size in shape]
    if patch is not None:
        chosen = list(patch)
    while need(chosen).bytes(chosen, wanted) > budget:
        axes = [axis for axis, size in enumerate(chosen) if size > SMALLEST]
        if patch is not None or not axes:
            raise too_little(chosen, wanted, budget)
        longest = max(axes, key=lambda axis: chosen[axis] / shape[axis])
        chosen[longest] = max(chosen[longest] - STEP, SMALLEST)
    if batch is None:
        per = need(chosen)
        fitting = int((budget - per.fixed) // (per.voxel * _voxels(chosen)))
        batch = max(2, min(fitting, int(most // _voxels(chosen))))
    return tuple(chosen), batch


def too_little(patch: Sequence[int], batch: int, budget: float) -> ConfigError:
    """Says that so many patches are too many for a memory of `budget` bytes."""
    return ConfigError(
        f"{batch} patches of {'×'.join(map(str, patch))} do not fit into {budget / 2**30:.1f} GiB",
        remedy="a smaller model.size, trainer.recompute=true, or a smaller patch and batch by "
        "queue.patch_size and queue.batch_size",
    )


def free_bytes(reserved: int, device: torch.device) -> float:
    """Memory that a step may fill.

    Args:
        reserved: Bytes that the queue will take, on a CPU.
        device: Where training runs.
    """
    if device.type == "cuda":
        return SHARE * torch.cuda.mem_get_info(device)[0]
    return SHARE * (psutil.virtual_memory().available - reserved)


def _voxels(patch: Sequence[int]) -> int:
    return int(torch.Size(patch).numel())
