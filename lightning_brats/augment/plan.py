"""What is done to a patch, drawn beforehand, and its application.

Shapes: `B` batch, `C` modalities, `S` slices of a slab, `X Y Z` a patch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class ByChannel:
    """A change of intensities, with a value of its own for each channel.

    Args:
        function: (channel (X, Y, Z) float32, value) → the channel, changed in place. A function of
            a module, so that it can be sent to other processes.
        values: One for each channel; `None` leaves it alone.
        in_plane: Whether places or neighbours matter, so that slices of a slab are done one by one.
    """

    function: Callable[[Tensor, Any], Tensor]
    values: Sequence[Any]
    in_plane: bool = False


@dataclass(frozen=True)
class Flip:
    """A reversal of image and labels.

    Args:
        axes: Of (0, 1, 2).
    """

    axes: Sequence[int]


class Plan:
    """Everything that is done to one patch, in order.

    A slice's thin axis counts as the last one, wherever it is (see `thin_axis`). This is a plain
    class because Lightning takes dataclasses apart when it moves a batch.

    Args:
        steps: In order.
        keep_background: Set what was zero in all channels to zero again after changes of intensity.
        slices: S, where channels are slices of slabs, `slices.neighbours_as_channels`. A modality's
            slab is changed as one image, and each slice where places and neighbours matter.
    """

    def __init__(
        self,
        steps: Sequence[ByChannel | Flip] = (),
        keep_background: bool = False,
        slices: int = 1,
    ) -> None:
        self.steps, self.keep_background = tuple(steps), keep_background
        self.slices = slices

    def __repr__(self) -> str:
        return f"Plan({list(self.steps)}, keep_background={self.keep_background})"

    def apply_(self, image: Tensor, mask: Tensor) -> None:
        """Change a patch in place, on whichever device it is.

        Args:
            image: (C, X, Y, Z), or (C * S, X, Y, 1), of any floating-point type. Arithmetic is in
                single precision; results are cut at the type's range, so none is infinite.
            mask: (1, X, Y, Z) of any type.

        Raises:
            ValueError: The plan is for another number of channels.
        """
        thin = 1 + thin_axis(image.shape[1:])
        image, mask = image.transpose(thin, 3), mask.transpose(thin, 3)
        changes = [step for step in self.steps if isinstance(step, ByChannel)]
        if any(len(step.values) * self.slices != len(image) for step in changes):
            raise ValueError(f"a plan for another number of channels than {len(image)}: {self}")
        if self.slices > 1:
            image = image.unflatten(0, (-1, self.slices))  # (C, S, X, Y, 1)
        brain = None
        if changes and self.keep_background:
            # A product is several times faster than filling.
            brain = self._flipped(_anywhere(image)).float()
        for index, channel in enumerate(image):
            self._apply_to_channel(channel, index, brain)
        if len(changes) < len(self.steps):
            mask[0].copy_(self._flipped(mask[0]))

    def _apply_to_channel(self, channel: Tensor, index: int, brain: Tensor | None) -> None:
        """One channel through all steps, so that what lies in the processor's cache is used."""
        found, changed = channel, False
        for step in self.steps:
            if isinstance(step, Flip):
                found = found.flip(_from_the_end(step.axes))
            elif step.values[index] is not None:
                # A copy also where it is float32 already: its memory is in one piece and is ours.
                found = found if changed else found.to(torch.float32, copy=True)
                found = _changed(step, found.contiguous(), index)
                changed = True
        if changed:
            limit = torch.finfo(channel.dtype).max
            found = found.clamp_(-limit, limit)
            found = found if brain is None else found.mul_(brain)
        if found is not channel:
            channel.copy_(found)

    def _flipped(self, volume: Tensor) -> Tensor:
        for step in self.steps:
            if isinstance(step, Flip):
                volume = volume.flip(_from_the_end(step.axes))
        return volume


def _changed(step: ByChannel, channel: Tensor, index: int) -> Tensor:
    """A channel (X, Y, Z), or a slab (S, X, Y, 1), after a step, in place."""
    if step.in_plane and channel.ndim == 4:
        for each in channel:
            step.function(each, step.values[index])
        return channel
    return step.function(channel, step.values[index])


def _from_the_end(axes: Sequence[int]) -> list[int]:
    """Spatial axes of a channel, whether or not the slices of a slab come before them."""
    return [axis - 3 for axis in axes]


@torch.no_grad()
def augment_(image: Tensor, mask: Tensor, plans: Sequence[Plan]) -> None:
    """Apply to each patch of a batch its plan, in place.

    Args:
        image: (B, C, X, Y, Z) of any floating-point type, on any device.
        mask: (B, 1, X, Y, Z).
        plans: One for each patch.

    Raises:
        ValueError: A plan is missing, or for another number of channels.
    """
    with torch.autocast(image.device.type, enabled=False):  # a blur is a matrix product
        for patch, labels, plan in zip(image, mask, plans, strict=True):
            plan.apply_(patch, labels)


def thin_axis(shape: Sequence[int]) -> int:
    """Axis of (X, Y, Z) that is one voxel long, the last one where none is.

    TorchIO and the plans expect slices to be thin along their last axis: whoever draws or applies
    swaps the two.
    """
    return list(shape).index(1) if 1 in shape else 2


def _anywhere(image: Tensor) -> Tensor:
    """Where any channel of (C, ...) differs from zero, (...) bool."""
    # By their bits, all but the sign: comparing half-precision numbers is slow on a CPU.
    whole = {2: torch.int16, 4: torch.int32, 8: torch.int64}[image.element_size()]
    bits = image.view(whole)
    found = bits[0].clone()
    for channel in bits[1:]:
        found |= channel
    return (found & torch.iinfo(whole).max) != 0
