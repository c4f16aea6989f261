"""Starting from trained weights: fine-tuning on other modalities, regions or cohorts.

Weights of the same name and shape are copied. Where the number of modalities or of outputs differs,
the channels that both networks know by name are copied, and the rest starts fresh: a new modality
with the mean of the known ones' kernels (as timm does for other numbers of colours), a new region
with its initialisation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from lightning_brats.errors import ConfigError
from lightning_brats.task import SegmentationTask

LABELS = tuple(f"label {number}" for number in range(16))
"""Names of a `labels` head's outputs, which mean the same in every network."""


@dataclass
class WarmStart:
    """What became of each tensor of the network.

    Args:
        used: Names copied as they are.
        adapted: Names of which some channels were copied, and how.
        fresh: Names that keep their initialisation.
        unused: Names of the source that the network does not have.
    """

    used: list[str] = field(default_factory=list)
    adapted: list[str] = field(default_factory=list)
    fresh: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """For people: counts, and every name that was not simply copied."""
        lines = [f"{len(self.used)} of {self._total()} tensors as they are"]
        for names, what in (
            (self.adapted, "in part"),
            (self.fresh, "not there, so they start fresh"),
            (self.unused, "of the file not used"),
        ):
            if names:
                shown = ", ".join(names[:6]) + (", …" if len(names) > 6 else "")
                lines.append(f"{len(names)} {what}: {shown}")
        return lines

    def _total(self) -> int:
        return len(self.used) + len(self.adapted) + len(self.fresh)


@dataclass(frozen=True)
class _Channels:
    """Names of what goes in and comes out of a network."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def warm_start(task: SegmentationTask, weights: Path) -> WarmStart:
    """Copy trained weights into a task's network.

    Args:
        task: Its context names the modalities.
        weights: A checkpoint of this suite, or a state dict of the network saved by `torch.save`.

    Raises:
        ConfigError: The file is missing, unreadable, or shares no tensor with the network.
    """
    content = _read(weights)
    state, theirs = _network(content), _stored_channels(content)
    own = _Channels(tuple(task.context.get("modalities", ())), _outputs(task.head, task.regions))
    result = WarmStart()
    target = task.net.state_dict()  # detached views: what is copied into them is in the network
    for name, tensor in target.items():
        source = next((state[other] for other in _aliases(name) if other in state), None)
        if source is None:
            result.fresh.append(name)
        elif source.shape == tensor.shape:
            tensor.copy_(source)
            result.used.append(name)
        elif theirs and (how := _adapt(tensor, source, own, theirs)):
            result.adapted.append(f"{name} ({how})")
        else:
            shapes = f"{tuple(source.shape)} → {tuple(tensor.shape)}"
            result.fresh.append(f"{name} (another shape: {shapes})")
    result.unused.extend(n for n in state if not any(other in target for other in _aliases(n)))
    if not result.used:
        raise ConfigError(
            "the weights have nothing in common with the network",
            file=weights,
            remedy="choose the model and model.size they were trained with",
        )
    return result


def freeze(net: nn.Module, patterns: Sequence[str]) -> list[str]:
    """Stop parameters from being trained.

    Args:
        net: The network.
        patterns: Shell-like patterns of parameter names, e.g. `encoder.*`.

    Returns:
        Names of the frozen parameters.

    Raises:
        ConfigError: A pattern matches no parameter, or nothing would be left to train.
    """
    frozen: list[str] = []
    parameters = dict(net.named_parameters())
    for pattern in patterns:
        found = [name for name in parameters if fnmatchcase(name, pattern)]
        if not found:
            tops = sorted({name.split(".")[0] for name in parameters})
            raise ConfigError(
                f"freeze={pattern} matches no parameter",
                remedy=f"names begin with {', '.join(tops)}; for example freeze=['{tops[0]}.*']",
            )
        frozen += found
    for name in frozen:
        parameters[name].requires_grad_(False)
    if all(not parameter.requires_grad for parameter in parameters.values()):
        raise ConfigError("every parameter is frozen", remedy="leave some of them to be trained")
    return list(dict.fromkeys(frozen))


def _read(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        remedy = "weights=runs/<model>/<date-time>/checkpoints/best.ckpt"
        raise ConfigError("weights not found", file=path, remedy=remedy)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, OSError, UnpicklingError) as error:
        raise ConfigError(
            f"the weights cannot be read ({type(error).__name__})",
            file=path,
            remedy="give a checkpoint of this suite or a plain state dict; files that need code "
            "to be run in order to load are refused",
        ) from error
    if not isinstance(content, Mapping):
        raise ConfigError("the file holds no weights", file=path)
    return content


def _network(content: Mapping[str, Any]) -> dict[str, Tensor]:
    state = content.get("state_dict", content)
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    own = {n.removeprefix("net."): v for n, v in tensors.items() if n.startswith("net.")}
    return own or tensors


def _aliases(name: str) -> tuple[str, ...]:
    """Names of a tensor: in a network alone, and in the same beside a discriminator."""
    return name, f"generator.{name}", name.removeprefix("generator.")


def _stored_channels(content: Mapping[str, Any]) -> _Channels | None:
    """What a checkpoint of this suite says of its inputs and outputs; a state dict says nothing."""
    recipe = content.get("hyper_parameters")
    if not recipe or "context" not in recipe:
        return None
    inputs = tuple(recipe["context"].get("modalities", ()))
    return _Channels(inputs, _outputs(recipe["head"], recipe["regions"]))


def _outputs(head: str, regions: Sequence[str]) -> tuple[str, ...]:
    return LABELS if head == "labels" else tuple(regions)


def _adapt(tensor: Tensor, source: Tensor, own: _Channels, theirs: _Channels) -> str | None:
    """Copy the channels known by name; how, or `None` where the shapes do not fit that."""
    if tensor.ndim != source.ndim:
        return None
    differing = [i for i in range(tensor.ndim) if tensor.shape[i] != source.shape[i]]
    if differing == [1] and _fits(tensor, source, 1, own.inputs, theirs.inputs):
        known = [
            (i, theirs.inputs.index(m)) for i, m in enumerate(own.inputs) if m in theirs.inputs
        ]
        tensor.copy_(source.mean(1, keepdim=True).expand_as(tensor))
        for new, old in known:
            tensor[:, new] = source[:, old]
        names = ", ".join(own.inputs[new] for new, _ in known) or "none"
        return f"modalities known: {names}"
    if differing == [0] and _fits(tensor, source, 0, own.outputs, theirs.outputs):
        shared = [
            (own.outputs[i], i, theirs.outputs.index(own.outputs[i]))
            for i in range(len(tensor))
            if own.outputs[i] in theirs.outputs[: len(source)]
        ]
        for _, new, old in shared:
            tensor[new] = source[old]
        return f"outputs known: {', '.join(name for name, _, _ in shared)}" if shared else None
    return None


def _fits(
    tensor: Tensor, source: Tensor, axis: int, own: Sequence[str], theirs: Sequence[str]
) -> bool:
    """Whether an axis counts the named channels, of which a `labels` head may use the first."""
    if own is LABELS or theirs is LABELS:
        return own is theirs and axis == 0
    return tensor.shape[axis] == len(own) and source.shape[axis] == len(theirs)
