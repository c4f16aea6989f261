"""The memory order of a network's features: channels last where convolutions run faster on it.

On a CPU, oneDNN convolves channels-last features without reordering them before and after each
layer. Two norms are in the way: torch's instance norm turns features round and back, and its group
norm sums millions of squares one by one, which costs single precision three of its digits.
`ChannelsLast` puts others in their place that do neither.

Shapes: `B` windows, `C` channels, `G` groups, `X Y Z` space (X Y in 2-D).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from lightning_brats.models.channels_last import is_channels_last, moments, normalise

CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)


def channels_last_helps(net: nn.Module, device: torch.device) -> bool:
    """Whether a network runs faster that way: one of convolutions, no transformer, on a CPU."""
    parts = list(net.modules()) if device.type == "cpu" else []
    convolves = any(isinstance(part, CONVOLUTIONS) for part in parts)
    return convolves and not any(isinstance(part, nn.LayerNorm) for part in parts)


def arranged(windows: Tensor, channels_last: bool) -> Tensor:
    """Windows (B, C, X, Y, Z) in that memory order, or as they are."""
    if not channels_last:
        return windows
    return windows.contiguous(memory_format=torch.channels_last_3d)


def layout(channels_last: bool) -> AbstractContextManager:
    """Where networks keep their features in that order, or as they please."""
    return ChannelsLast() if channels_last else nullcontext()


class ChannelsLast(TorchFunctionMode):
    """Instance and group norms leave channels-last features in their order, to full precision.

    For inference: no gradients are thought of.
    """

    def __torch_function__(
        self,
        func: Callable,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """What was called, or the norm that takes its place."""
        replaced: dict[Callable, Callable] = {
            F.instance_norm: instance_norm,
            F.group_norm: group_norm,
        }
        return replaced.get(func, func)(*args, **(kwargs or {}))


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`torch.nn.functional.instance_norm`; (B, C, X, Y, Z) stays in its memory order."""
    if _is_ours(input) and running_mean is None:
        return group_norm(input, input.shape[1], weight, bias, eps)
    return F.instance_norm(
        input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps
    )


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """`torch.nn.functional.group_norm`; (B, C, X, Y, Z) in channels-last order stays in it."""
    if not _is_ours(input):
        return F.group_norm(input, num_groups, weight, bias, eps)
    mean, variance = moments(input)  # (B, C)
    if num_groups < input.shape[1]:
        grouped = mean.unflatten(1, (num_groups, -1))
        overall = grouped.mean(2, keepdim=True).expand_as(grouped).flatten(1)
        spread = variance + (mean - overall).square()  # about the group's mean
        shared = spread.unflatten(1, (num_groups, -1)).mean(2, keepdim=True)
        mean, variance = overall, shared.expand_as(grouped).flatten(1)
    ones = mean.new_ones(input.shape[1])
    weight = ones if weight is None else weight.float()
    bias = torch.zeros_like(ones) if bias is None else bias.float()
    return normalise(input, mean.contiguous(), variance.contiguous(), weight, bias, eps)


def _is_ours(x: Tensor) -> bool:
    return x.dtype in (torch.bfloat16, torch.float32) and is_channels_last(x)
