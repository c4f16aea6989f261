"""What a network costs: parameters, arithmetic and memory, counted without running it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TypedDict

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lightning_brats.models.gan import segmenter


class Cost(TypedDict):
    """One training patch, forward."""

    parameters: int
    """Numbers that are learnt."""
    gflops: float
    """10⁹ operations of convolutions and matrix products; a multiplication and addition are two."""
    activation_gib: float
    """What is kept for the backward pass in single precision, in GiB (about half that in bf16)."""


def describe(net: nn.Module, patch: Sequence[int]) -> Cost:
    """Count one forward pass on a copy whose tensors have shapes but no values.

    Args:
        net: Any network; of one with a discriminator, the part that segments.
        patch: Shape of its input without the batch, (C, X, Y, Z) or (C, X, Y).
    """
    net = copy.deepcopy(segmenter(net)).to("meta").train()
    learnt = {parameter.untyped_storage()._cdata for parameter in net.parameters()}
    kept: dict[int, Tensor] = {}  # by storage, which views and in-place layers share

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    counter = FlopCounterMode(display=False)
    with counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        net(torch.empty(1, *patch, device="meta"))
    held = sum(t.untyped_storage().nbytes() for key, t in kept.items() if key not in learnt)
    return Cost(
        parameters=sum(p.numel() for p in net.parameters() if p.requires_grad),
        gflops=counter.get_total_flops() / 1e9,
        activation_gib=held / 2**30,
    )
