"""Sliding-window prediction: overlapping windows, Gaussian blending, test-time flips.

Positions and weights follow nnU-Net (Isensee et al., Nat Methods 2021): steps of at most
`(1 - overlap) · patch`, spread evenly; Gaussian weights with σ = patch / 8; logits are averaged
over windows and flips, then activated. What differs is that only the brain is visited: windows lie
over its bounding box, and those without brain are left out.

Two-dimensional networks may be run along several axes. Their probabilities are then averaged, as in
the view aggregation of QuickNAT (Guha Roy et al., NeuroImage 2019) and the random views of Roth et
al. (MICCAI 2014), and as probabilities of an ensemble are: one network along three axes and three
networks with an axis each are fused alike.

Shapes: `B` windows, `C` modalities, `S` slices of a slab, `K` outputs of the network, `X Y Z`
space.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_brats.errors import ConfigError, DataError
from lightning_brats.inference.grid import (
    SMALLEST_WEIGHT,
    brain_box,
    gaussian_weights,
    mirrors,
    pad_to,
    windows,
)
from lightning_brats.inference.layout import arranged, channels_last_helps, layout
from lightning_brats.inference.precision import TYPES, Precision, autocast, compute_type
from lightning_brats.labels import BACKGROUND
from lightning_brats.postprocess import Head
from lightning_brats.slices import (
    across,
    axis_numbers,
    check_neighbours,
    neighbours_as_channels,
    slice_axis,
)

BATCH_VOXELS = 128**3
"""Voxels in a batch where no batch size is given."""
CPU_BATCH_VOXELS = 64**3
"""The same on a CPU, where more is no faster: it takes memory, and features leave the cache."""


@dataclass(frozen=True)
class SlidingWindow:
    """Predict a volume window by window.

    Args:
        patch_size: Window in voxels; an axis of 1 makes the windows slices (for a 2-D network).
        overlap: Share of a window that its neighbour covers, at least.
        batch_size: Windows (times flips) in a batch; by default as many as make up 128³ voxels,
            on a CPU 64³.
        tta: `flips` averages over all mirror images of a window: 8 in 3-D, 4 in 2-D.
        precision: The network's; `auto` takes the narrowest type the device computes natively.
        neighbours: Slices on either side of each slice that the network is given as channels; zero
            beyond the volume, as in training (see `slices.neighbours_as_channels`).
        axes: Names of the axes along which slices are cut, whose probabilities are averaged; by
            default the one along which the window is one voxel deep.

    Raises:
        ConfigError: A setting is out of its range.
    """

    patch_size: Sequence[int]
    overlap: float = 0.5
    batch_size: int | None = None
    tta: Literal["none", "flips"] = "none"
    precision: Precision = "auto"
    neighbours: int = 0
    axes: Sequence[str] | None = None

    def __post_init__(self) -> None:
        patch = tuple(int(size) for size in self.patch_size)
        if len(patch) != 3 or min(patch) < 1:
            raise ConfigError(f"patch_size={patch}: three sizes of 1 or more are needed")
        if not 0 <= self.overlap < 1:
            raise ConfigError(f"overlap={self.overlap}: must be at least 0 and less than 1")
        if self.batch_size is not None and self.batch_size < 1:
            raise ConfigError(f"batch_size={self.batch_size}: must be 1 or more")
        if self.tta not in ("none", "flips"):
            raise ConfigError(f"tta={self.tta}: choose none or flips")
        object.__setattr__(self, "precision", str(self.precision))  # YAML reads 32 as a number
        if self.precision not in ("auto", *TYPES):
            raise ConfigError(f"precision={self.precision}: choose auto, {', '.join(TYPES)}")
        object.__setattr__(self, "patch_size", patch)
        check_neighbours(self.neighbours, patch, "inference.neighbours")
        axis_numbers(self.axes, patch, "inference.axes")

    @torch.inference_mode()
    def __call__(
        self, net: nn.Module, image: Tensor, head: Head, brain: Tensor | None = None
    ) -> Tensor:
        """Probabilities of a whole volume.

        Args:
            net: (B, C, *patch) → logits (B, K, *patch), in evaluation mode; (B, C * S, *patch)
                where slices come with neighbours.
            image: (C, X, Y, Z), 0 outside the brain; need not be on the network's device.
            head: `regions` for a sigmoid on each output, `labels` for a softmax over them.
            brain: (X, Y, Z) bool; by default wherever a modality is not 0.

        Returns:
            (K, X, Y, Z) float32 on the image's device. Where no window came, all is background.

        Raises:
            DataError: The image is empty or misshapen, or the network returned NaN.
            ConfigError: The network is in training mode, or there is no such head.
        """
        _check_use(net, head)
        brain = _checked_brain(image, brain)
        if self.axes:
            return self._fused(net, image, head, brain)
        image = self._with_neighbours(image)
        box = brain_box(brain, self.patch_size)
        logits, covered = self._with_fallback(net, image[:, *box].float(), brain[box])
        if not logits.isfinite().all():
            raise DataError(
                "the network returned NaN or infinite values",
                remedy="the training may have diverged; if not, set inference.precision=32",
            )
        inside = logits.sigmoid_() if head == "regions" else logits.softmax(0)
        inside.masked_fill_(~covered, 0)
        out = image.new_zeros((len(inside), *brain.shape), dtype=torch.float32)
        if head == "labels":
            inside[BACKGROUND].masked_fill_(~covered, 1)
            out[BACKGROUND] = 1
        out[:, *box] = inside
        return out

    def views(self) -> list[SlidingWindow]:
        """A window for each axis."""
        numbers = axis_numbers(self.axes, self.patch_size, "inference.axes")
        return [replace(self, patch_size=across(self.patch_size, n), axes=None) for n in numbers]

    def _fused(self, net: nn.Module, image: Tensor, head: Head, brain: Tensor) -> Tensor:
        """Mean of the probabilities along all axes."""
        first, *others = self.views()
        total = first(net, image, head, brain)
        for view in others:
            total += view(net, image, head, brain)
        return total.div_(1 + len(others))

    def _with_neighbours(self, image: Tensor) -> Tensor:
        """(C, X, Y, Z) → (C * S, X, Y, Z), zeros standing for what lies beyond the volume."""
        axis = slice_axis(self.patch_size)
        if not self.neighbours or axis is None:
            return image
        sides = [0, 0] * (2 - axis) + [self.neighbours] * 2  # last axis first
        return neighbours_as_channels(F.pad(image, sides), axis, self.neighbours)

    def _with_fallback(self, net: nn.Module, image: Tensor, brain: Tensor) -> tuple[Tensor, Tensor]:
        device = next((p.device for p in net.parameters()), image.device)
        voxels = CPU_BATCH_VOXELS if device.type == "cpu" else BATCH_VOXELS
        batch = self.batch_size or max(1, voxels // math.prod(self.patch_size))
        try:
            return self._blend(net, image.to(device), brain, device, batch)
        except torch.OutOfMemoryError:
            warnings.warn(
                f"{device} is short of memory: windows are predicted one at a time and summed in "
                "the host's memory, which is slower; lower inference.batch_size to avoid it",
                stacklevel=4,
            )
        # Not in the `except` clause: there the traceback still holds the failed attempt's tensors.
        if device.type == "cuda":
            torch.cuda.empty_cache()
        return self._blend(net, image.cpu(), brain, device, 1)

    def _blend(
        self, net: nn.Module, image: Tensor, brain: Tensor, device: torch.device, batch: int
    ) -> tuple[Tensor, Tensor]:
        """Mean logits (K, X, Y, Z), and where a window was (X, Y, Z); both where `image` is."""
        image, brain, inner = pad_to(image, brain, self.patch_size)
        every = windows(brain.shape, self.patch_size, self.overlap)
        visited = [window for window in every if brain[window].any()]
        flips = mirrors(self.patch_size) if self.tta == "flips" else [()]
        jobs = list(itertools.product(visited, flips))
        dtype = compute_type(self.precision, device)
        channels_last = channels_last_helps(net, device)
        weights = gaussian_weights(self.patch_size).to(image.device)
        # Sums stay in float32: in half precision, hundreds of windows and flips lose a percent.
        total: Tensor | None = None
        for start in range(0, len(jobs), batch):
            chunk = jobs[start : start + batch]
            inputs = torch.stack([image[:, *window].flip(axes) for window, axes in chunk])
            with autocast(dtype, device), layout(channels_last):
                outputs = net(arranged(inputs.to(device), channels_last))
            outputs = outputs.to(image.device, torch.float32)
            if total is None:
                total = outputs.new_zeros((outputs.shape[1], *brain.shape))
            for (window, axes), output in zip(chunk, outputs, strict=True):
                total[:, *window].addcmul_(output.flip(axes), weights)
        assert total is not None  # the brain is not empty, so neither is `visited`
        norm = torch.zeros(brain.shape, device=image.device)
        for window in visited:
            norm[window] += weights
        norm = norm[inner]
        logits = total[:, *inner].div_(norm.clamp(min=SMALLEST_WEIGHT) * len(flips))
        return logits, norm > 0


def _check_use(net: nn.Module, head: str) -> None:
    if net.training:
        raise ConfigError("the network is in training mode", remedy="call net.eval() first")
    if head not in ("regions", "labels"):
        raise ConfigError(f"head={head}: choose regions or labels")


def _checked_brain(image: Tensor, brain: Tensor | None) -> Tensor:
    if image.ndim != 4:
        raise DataError(f"the image has shape {tuple(image.shape)}, expected (C, X, Y, Z)")
    brain = (image != 0).any(0) if brain is None else brain
    if brain.shape != image.shape[1:]:
        raise DataError(
            f"the brain mask has shape {tuple(brain.shape)}, the image {tuple(image.shape[1:])}"
        )
    if not brain.any():
        raise DataError("there is no brain in the image", remedy="check the volume or its mask")
    return brain.bool().cpu()
