"""Starting from trained weights: fine-tuning on other modalities, regions or cohorts.

Weights of the same name and shape are copied. Where modalities or outputs are others, or in another
order, the channels that both networks know by name are copied, and the rest starts fresh: a new
modality with the mean of the known ones' kernels (as timm does for other numbers of colours), a new
region with its initialisation.
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
from lightning_brats.matching import LABELS, Channels, Ends, Matching, ends_by_length, find_ends
from lightning_brats.task import SegmentationTask


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

    def note(self, name: str, tensor: Tensor, source: Tensor, matching: Matching) -> None:
        """Copy what fits of one tensor, and remember how.

        Args:
            name: Of the tensor.
            tensor: Is changed.
            source: What may be copied.
            matching: Of the channels.
        """
        same = source.shape == tensor.shape
        if same and not matching.concerns(name):
            tensor.copy_(source)
            self.used.append(name)
        elif how := matching.adapt(name, tensor, source):
            self.adapted.append(f"{name} ({how})")
        elif same:
            self.fresh.append(f"{name} (of other channels)")
        else:
            shapes = f"{tuple(source.shape)} → {tuple(tensor.shape)}"
            self.fresh.append(f"{name} (another shape: {shapes})")

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


def warm_start(task: SegmentationTask, weights: Path) -> WarmStart:
    """Copy trained weights into a task's network.

    Args:
        task: Its context names the modalities.
        weights: A checkpoint of this suite, or a state dict of the network saved by `torch.save`.

    Raises:
        ConfigError: The file is missing, unreadable, or shares no tensor with the network; or its
            modalities or outputs are others, and it cannot be told which layers count them.
    """
    content = _read(weights)
    state, stored = _network(content), _stored_channels(content)
    own = Channels.of(task.head, task.regions, task.context)
    result = WarmStart()
    target = task.net.state_dict()  # detached views: what is copied into them is in the network
    sources = _sources(target, state)
    ends = _ends(task, target, sources, own, stored, weights) if stored else Ends()
    matching = Matching(own, stored or own, ends)
    for name, tensor in target.items():
        if name in sources:
            result.note(name, tensor, sources[name], matching)
        else:
            result.fresh.append(name)
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


def _sources(target: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What there is for each tensor, under whichever of its names."""
    found = {n: next((other for other in _aliases(n) if other in state), None) for n in target}
    return {name: state[other] for name, other in found.items() if other is not None}


def _aliases(name: str) -> tuple[str, ...]:
    """Names of a tensor: in a network alone, and in the same beside a discriminator."""
    return name, f"generator.{name}", name.removeprefix("generator.")


def _stored_channels(content: Mapping[str, Any]) -> Channels | None:
    """What a checkpoint of this suite says of its inputs and outputs; a state dict says nothing."""
    recipe = content.get("hyper_parameters")
    if not recipe or "context" not in recipe:
        return None
    return Channels.of(recipe["head"], recipe["regions"], recipe["context"])


def _ends(
    task: SegmentationTask,
    target: Mapping[str, Tensor],
    sources: Mapping[str, Tensor],
    own: Channels,
    stored: Channels,
    weights: Path,
) -> Ends:
    """Which tensors count channels, where the two networks' are not the same."""
    resized = any(source.shape != target[name].shape for name, source in sources.items())
    if not (resized or own.other_inputs(stored) or own.other_outputs(stored)):
        return Ends()
    found = find_ends(task.recipe["net"], target, len(own.inputs))
    if found is not None:
        return found
    for what, names, others, differ in (
        ("modalities", own.inputs, stored.inputs, own.other_inputs(stored)),
        ("outputs", own.outputs, stored.outputs, own.other_outputs(stored)),
    ):
        if differ and (len(names) == len(others) or not resized):
            raise _unmatched(what, names, others, weights)
    return ends_by_length(target, sources)


def _unmatched(what: str, names: Sequence[str], others: Sequence[str], file: Path) -> ConfigError:
    told = ["those of a head=labels" if n == LABELS else ", ".join(n) for n in (others, names)]
    return ConfigError(
        f"the {what} of the weights are {told[0]}, the network's {told[1]}, and which of its "
        "layers count them cannot be told",
        file=file,
        remedy="use the same ones in the same order (data.modalities, data.regions, head), or a "
        "network whose config builds it for any in_channels and out_channels",
    )
