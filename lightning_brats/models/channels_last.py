"""Instance norm and up-convolution for CPUs, in the memory order that their convolutions like.

oneDNN convolves fastest when a voxel's channels lie side by side (torch's `channels_last`). torch's
own instance norm copies such tensors to the other order and back, forward and backward, and its
transposed convolution is slow backward: for a U-Net in bf16 that takes longer than the arithmetic.
The two here compute the same, with torch's channels-last batch norm on one sample at a time, and
with matrix products. Elsewhere (GPU, other memory order, compiled graphs) torch's own run.

Shapes: B batch, C channels in, O channels out, X Y Z space (X Y in 2-D).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

SLAB = 2**14
"""Voxels whose statistics are summed in one go in single precision, before they are combined."""
_aten = torch.ops.aten


def arrange(image: Tensor) -> Tensor:
    """The image in the memory order in which convolutions are fastest where it lies."""
    if torch.compiler.is_compiling() or image.device.type != "cpu":
        return image
    if not torch.backends.mkldnn.is_available():
        return image
    return image.contiguous(memory_format=_order(image))


class InstanceNorm2d(nn.InstanceNorm2d):
    """torch's instance norm with learnt scale, faster on channels-last tensors of a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each channel of each sample (B, C, X, Y)."""
        return _instance_norm(self, x) if _is_ours(self, x) else super().forward(x)


class InstanceNorm3d(nn.InstanceNorm3d):
    """torch's instance norm with learnt scale, faster on channels-last tensors of a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each channel of each sample (B, C, X, Y, Z)."""
        return _instance_norm(self, x) if _is_ours(self, x) else super().forward(x)


class UpConv2d(nn.ConvTranspose2d):
    """Transposed convolution that doubles every axis, faster backward on a CPU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """(B, C, X, Y) → (B, O, 2 X, 2 Y)."""
        return _up_conv(self, x) if _is_arranged(x) else super().forward(x)


class UpConv3d(nn.ConvTranspose3d):
    """Transposed convolution that doubles every axis, faster backward on a CPU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """(B, C, X, Y, Z) → (B, O, 2 X, 2 Y, 2 Z)."""
        return _up_conv(self, x) if _is_arranged(x) else super().forward(x)


def is_channels_last(x: Tensor) -> bool:
    """Whether images lie in that order in the CPU's memory, and in no other as well."""
    return (
        x.ndim in (4, 5)
        and x.device.type == "cpu"
        and x.is_contiguous(memory_format=_order(x))
        and not x.is_contiguous()  # both orders are one: torch's own is as good
    )


def _order(x: Tensor) -> torch.memory_format:
    return torch.channels_last if x.ndim == 4 else torch.channels_last_3d


def _is_arranged(x: Tensor) -> bool:
    return (
        not torch.compiler.is_compiling()
        and x.dtype in (torch.bfloat16, torch.float32)
        and is_channels_last(x)
    )


def _is_ours(norm: nn.InstanceNorm2d | nn.InstanceNorm3d, x: Tensor) -> bool:
    return norm.affine and not norm.track_running_stats and _is_arranged(x)


def _instance_norm(norm: nn.InstanceNorm2d | nn.InstanceNorm3d, x: Tensor) -> Tensor:
    return _InstanceNorm.apply(x, norm.weight.float(), norm.bias.float(), norm.eps)


def _up_conv(conv: nn.ConvTranspose2d | nn.ConvTranspose3d, x: Tensor) -> Tensor:
    weight, bias = conv.weight, conv.bias
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        x, weight, bias = x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    return _UpConv.apply(x, weight, bias)


class _InstanceNorm(torch.autograd.Function):
    """x (B, C, ...), weight (C), bias (C), ε → y of x's shape."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        mean, var = moments(x)
        y = normalise(x, mean, var, weight, bias, eps)
        ctx.save_for_backward(x, weight, mean, (var + eps).rsqrt())
        ctx.eps = eps
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, scale = ctx.saved_tensors
        grad = grad.contiguous(memory_format=_order(grad))
        dx, dweight, dbias = torch.empty_like(x), torch.zeros_like(weight), torch.zeros_like(weight)
        for i in range(len(x)):
            one = slice(i, i + 1)
            moved, scaled, shifted = _aten.native_batch_norm_backward(
                grad[one], x[one], weight, None, None, mean[i], scale[i], True, ctx.eps, [True] * 3
            )
            dx[one] = moved
            dweight += scaled
            dbias += shifted
        return dx, dweight, dbias, None


def normalise(
    x: Tensor, mean: Tensor, variance: Tensor, weight: Tensor, bias: Tensor, eps: float
) -> Tensor:
    """Channels-last x (B, C, ...) by statistics (B, C), times weight (C) plus bias (C), float32."""
    y = torch.empty_like(x)
    unused = weight.new_empty(0), weight.new_empty(0)
    for i in range(len(x)):
        one = slice(i, i + 1)
        _aten.native_batch_norm.out(
            x[one], weight, bias, mean[i], variance[i], False, 0.0, eps,
            out=y[one], save_mean=unused[0], save_invstd=unused[1],
        )  # fmt: skip
    return y


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (B, C) of each channel of each sample of channels-last x (B, C, ...).

    torch sums a channel in one run in single precision, which over a million voxels costs three
    digits; slabs that are combined (Chan et al. 1979) do not, and stay in the processor's cache.
    """
    rows = max(SLAB // x[0, 0, 0].numel(), 1)
    ignored = x.new_zeros(x.shape[1], dtype=torch.float32)
    means, variances, sizes = [], [], []
    for start in range(0, x.shape[2], rows):
        slab = x[:, :, start : start + rows]
        found = [
            _aten.batch_norm_update_stats(slab[i : i + 1], ignored, ignored, 0.0)
            for i in range(len(x))
        ]
        means.append(torch.stack([mean for mean, _ in found]))
        variances.append(torch.stack([variance for _, variance in found]))
        sizes.append(slab.shape[2])
    mean, variance = torch.stack(means).double(), torch.stack(variances).double()
    share = mean.new_tensor(sizes).div(x.shape[2]).view(-1, 1, 1)  # (slabs, B, C)
    overall = (share * mean).sum(0)
    spread = (share * (variance + (mean - overall).square())).sum(0)
    return overall.float(), spread.float()


class _UpConv(torch.autograd.Function):
    """x (B, C, ...), weight (C, O, 2, ...), bias (O) → (B, O, 2 X, ...)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        convolve = F.conv_transpose2d if x.ndim == 4 else F.conv_transpose3d
        return convolve(x, weight, bias, stride=2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        inputs, outputs = weight.shape[:2]
        space = x.shape[2:]
        dims = len(space)
        # The 2³ voxels that came from one, side by side: (B · X · Y · Z, 2 · 2 · 2 · O)
        pairs = grad.movedim(1, -1).unflatten(1, (space[0], 2))
        for axis in range(1, dims):
            pairs = pairs.unflatten(2 * axis + 1, (space[axis], 2))
        order = [0, *range(1, 2 * dims, 2), *range(2, 2 * dims + 1, 2), 2 * dims + 1]
        gathered = pairs.permute(order).reshape(-1, 2**dims * outputs)
        matrix = weight.movedim(1, -1).reshape(inputs, -1)  # (C, 2 · 2 · 2 · O)
        dx = (gathered @ matrix.T).view(len(x), *space, inputs).movedim(-1, 1)
        voxels = x.movedim(1, -1).reshape(-1, inputs)
        dweight = (voxels.T @ gathered).view(inputs, *[2] * dims, outputs).movedim(-1, 1)
        return dx, dweight, gathered.view(-1, outputs).sum(0)
