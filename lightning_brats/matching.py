"""Channels of two networks, matched by name: modalities go in, regions or labels come out.

Which tensors of a network count its modalities and outputs cannot be told from their sizes, which
may be those of a feature map by chance. It shows in the same network built for another number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lightning_brats.errors import BratsError
from lightning_brats.parts import build

LABELS = tuple(f"label {number}" for number in range(16))
"""Names of a `labels` head's outputs, which mean the same in every network."""

Axes = Mapping[str, tuple[int, ...]]
"""Tensor → its axes that are longer with more channels."""


@dataclass(frozen=True)
class Channels:
    """Names of what goes in and comes out of a network.

    Args:
        inputs: Modalities; empty where unknown.
        outputs: Regions, or `LABELS`.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @classmethod
    def of(cls, head: str, regions: Sequence[str], context: Mapping[str, Any]) -> Channels:
        """What a task or a checkpoint says of itself."""
        outputs = LABELS if head == "labels" else tuple(regions)
        return cls(tuple(context.get("modalities", ())), outputs)

    def other_inputs(self, other: Channels) -> bool:
        """Whether the modalities are known to be others, or in another order."""
        return bool(self.inputs and other.inputs) and self.inputs != other.inputs

    def other_outputs(self, other: Channels) -> bool:
        """Whether the outputs are others, or in another order."""
        return self.outputs != other.outputs


@dataclass(frozen=True)
class Ends:
    """Where a network's tensors count what goes in and comes out.

    Args:
        inputs: Of the tensors that read the image.
        outputs: Of those that make the logits.
        slices: Channels of each modality.
    """

    inputs: Axes = field(default_factory=dict)
    outputs: Axes = field(default_factory=dict)
    slices: int = 1


@dataclass(frozen=True)
class Matching:
    """Two networks' channels by name.

    Args:
        own: Names in the network that is to be changed.
        theirs: Names in the other one.
        ends: Of the network that is to be changed.
    """

    own: Channels
    theirs: Channels
    ends: Ends

    def concerns(self, name: str) -> bool:
        """Whether a tensor means something else in the other network, even in the same shape."""
        reads = name in self.ends.inputs and self.own.other_inputs(self.theirs)
        return reads or (name in self.ends.outputs and self.own.other_outputs(self.theirs))

    def adapt(self, name: str, tensor: Tensor, source: Tensor) -> str | None:
        """Copy the channels of one tensor that both networks know by name.

        Args:
            name: Of the tensor.
            tensor: Is changed.
            source: Of the other network.

        Returns:
            How it was done, or `None` where it cannot be and nothing was changed.
        """
        reads, gives = self.ends.inputs.get(name, ()), self.ends.outputs.get(name, ())
        differing = _differing(tensor.shape, source.shape)
        if bool(reads) == bool(gives) or differing is None or set(differing) - {*reads, *gives}:
            return None
        if gives:
            return _by_output(tensor, source, gives, self.own.outputs, self.theirs.outputs)
        return _by_modality(tensor, source, reads, self.own, self.theirs, self.ends.slices)


def find_ends(config: Any, state: Mapping[str, Tensor], modalities: int) -> Ends | None:
    """The ends of a network, from building it for other numbers of channels.

    Args:
        config: Describes the network; its `in_channels` and `out_channels` are changed.
        state: Its tensors.
        modalities: That it is given.

    Returns:
        `None` where it cannot be built so.
    """
    if not isinstance(config, Mapping) or not {"in_channels", "out_channels"} <= config.keys():
        return None
    inputs = _axes(config, "in_channels", state)
    outputs = _axes(config, "out_channels", state)
    if inputs is None or outputs is None:
        return None
    return Ends(inputs, outputs, config["in_channels"] // max(modalities, 1))


def ends_by_length(state: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> Ends:
    """The ends as far as two networks' differ in length, along the axes of convolutions.

    Args:
        state: Tensors of one network.
        other: Of the other one, by the same names.
    """
    inputs: dict[str, tuple[int, ...]] = {}
    outputs: dict[str, tuple[int, ...]] = {}
    for name in state.keys() & other.keys():
        differing = _differing(state[name].shape, other[name].shape)
        if differing == (1,):
            inputs[name] = differing
        elif differing == (0,):
            outputs[name] = differing
    return Ends(inputs, outputs)


def _by_modality(
    tensor: Tensor,
    source: Tensor,
    axes: tuple[int, ...],
    own: Channels,
    theirs: Channels,
    slices: int,
) -> str | None:
    """New modalities start with the mean of the known network's kernels."""
    axis = axes[0]
    lengths = len(own.inputs) * slices, len(theirs.inputs) * slices
    if len(axes) > 1 or not all(lengths) or (tensor.shape[axis], source.shape[axis]) != lengths:
        return None
    new, old = tensor.unflatten(axis, (-1, slices)), source.unflatten(axis, (-1, slices))
    new.copy_(old.mean(axis, keepdim=True).expand_as(new))
    known = [name for name in own.inputs if name in theirs.inputs]
    for name in known:
        place = theirs.inputs.index(name)
        new.select(axis, own.inputs.index(name)).copy_(old.select(axis, place))
    return f"modalities known: {', '.join(known) or 'none'}"


def _by_output(
    tensor: Tensor,
    source: Tensor,
    axes: tuple[int, ...],
    own: Sequence[str],
    theirs: Sequence[str],
) -> str | None:
    """New outputs keep their initialisation. A `labels` head may use the first labels alone."""
    if own == theirs == LABELS:
        own, theirs = own[: tensor.shape[axes[0]]], theirs[: source.shape[axes[0]]]
    lengths = {(tensor.shape[axis], source.shape[axis]) for axis in axes}
    shared = [name for name in own if name in theirs]
    if lengths != {(len(own), len(theirs))} or not shared:
        return None
    _copy(tensor, source, axes, [(own.index(name), theirs.index(name)) for name in shared])
    return f"outputs known: {', '.join(shared)}"


def _copy(
    tensor: Tensor, source: Tensor, axes: Sequence[int], places: Sequence[tuple[int, int]]
) -> None:
    """Copy to places along axes, ascending, from other places along the same axes."""
    if not axes:
        tensor.copy_(source)
        return
    left = [axis - 1 for axis in axes[1:]]
    for new, old in places:
        _copy(tensor.select(axes[0], new), source.select(axes[0], old), left, places)


def _axes(config: Mapping[str, Any], key: str, state: Mapping[str, Tensor]) -> Axes | None:
    """Tensors and their axes that change with a number of channels."""
    count = config[key]
    for other in (count + 1, 2 * count, 1):  # V-Net wants powers of two
        try:
            with torch.random.fork_rng(devices=[]):  # a run must not hang on its having been built
                shapes = {n: t.shape for n, t in build({**config, key: other}).state_dict().items()}
        except BratsError:
            continue
        found = {n: _differing(state[n].shape, shapes[n]) for n in state.keys() & shapes.keys()}
        return {name: axes for name, axes in found.items() if axes}
    return None


def _differing(first: torch.Size, second: torch.Size) -> tuple[int, ...] | None:
    """Axes along which two shapes differ; `None` where they have not the same number of them."""
    if len(first) != len(second):
        return None
    return tuple(i for i in range(len(first)) if first[i] != second[i])
