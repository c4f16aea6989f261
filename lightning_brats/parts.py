"""Parts from their configs: `_target_` and its arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import Parameter, signature
from pathlib import Path
from pydoc import ErrorDuringImport, locate
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn
from torch.optim import Optimizer

from lightning_brats.errors import BratsError, ConfigError

OURS = tuple(
    f"lightning_brats.{package}."
    for package in ("inference", "losses", "models", "postprocess", "synthesis")
)
"""Where the parts are that a stored network may consist of."""


def plain(config: Any) -> dict[str, Any]:
    """A group of the configuration as plain types, interpolations resolved."""
    container: Any = OmegaConf.to_container(config, resolve=True)
    return container


def build(part: Any, **extra: Any) -> Any:
    """What a config describes; anything that is not a mapping is returned as it is.

    Args:
        part: A mapping with `_target_`, or the built part.
        extra: Further arguments of its constructor.

    Raises:
        BratsError: The constructor's own.
        ConfigError: The constructor refuses the arguments.
    """
    if not isinstance(part, Mapping):
        return part
    try:
        return instantiate(part, _convert_="all", **extra)
    except InstantiationException as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, BratsError):
            cause = cause.__cause__
        if cause is not None:
            raise cause from None
        raise ConfigError(
            f"{part.get('_target_')} cannot be built: {error.__cause__ or error}",
            remedy="check the values of its config group",
        ) from error


def check_arguments(cfg: Mapping[str, Any], groups: Sequence[str]) -> None:
    """Refuse, before any work, settings that a chosen part does not take.

    Args:
        cfg: The configuration.
        groups: Of it that are parts.

    Raises:
        ConfigError: A part's constructor has no such argument.
    """
    for group in groups:
        part = cfg[group]
        made = locate(str(part.get("_target_"))) if isinstance(part, Mapping) else None
        if not callable(made):
            continue
        taken = signature(made).parameters.values()
        if any(argument.kind is Parameter.VAR_KEYWORD for argument in taken):
            continue
        names = {argument.name for argument in taken}
        unknown = [str(key) for key in part if not str(key).startswith("_") and key not in names]
        if unknown:
            raise ConfigError(
                f"{group} is {part['_target_']}, which takes no {' and no '.join(unknown)}",
                remedy="if a recipe or a preset set it, leave it out: "
                + " ".join(f"'~{group}.{key}'" for key in unknown),
            )


def check_stored(part: Any, file: Path) -> None:
    """Refuse a part that a file from elsewhere names, where building it could do anything else.

    Allowed are this suite's own networks, losses, windows and post-processing, and classes of
    networks and optimisers, whoever wrote them: what is not installed here cannot be built at all.

    Args:
        part: A mapping with `_target_`, in which others may lie, or plain values.
        file: For the message.

    Raises:
        ConfigError: Such a part.
    """
    if isinstance(part, Mapping):
        target = part.get("_target_")
        if target is not None and not _is_harmless(str(target)):
            raise ConfigError(
                f"the file asks for {target}, which is no class of networks",
                file=file,
                remedy="use files of your own runs; a network of your own has to be a class "
                "derived from torch.nn.Module, in a module that can be imported here",
            )
        for value in part.values():
            check_stored(value, file)
    elif isinstance(part, list | tuple):
        for value in part:
            check_stored(value, file)


def _is_harmless(target: str) -> bool:
    if target.startswith(OURS):
        return True
    try:
        found = locate(target)
    except ErrorDuringImport:
        return False
    return isinstance(found, type) and issubclass(found, nn.Module | Optimizer)
