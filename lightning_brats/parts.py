"""Parts from their configs: `_target_` and its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf

from lightning_brats.errors import BratsError, ConfigError


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
