"""Overrides of a run's configuration, as they are typed on its command line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

from lightning_brats.errors import ConfigError

PLAIN = re.compile(r"[A-Za-z_][\w./-]*")
WORDS = {"null", "true", "false", "nan", "inf"}
"""What Hydra would read as something else than text."""


def override(key: str, value: Any) -> str:
    """`key=value` in Hydra's grammar; lists and mappings may nest."""
    return f"{key}={written(value)}"


def written(value: Any) -> str:
    """A value in Hydra's grammar; text is quoted where it could be read as something else."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{k}:{written(v)}" for k, v in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ",".join(written(item) for item in value) + "]"
    if isinstance(value, str) and not (PLAIN.fullmatch(value) and value.lower() not in WORDS):
        return QuotedString(value, Quote.double).with_quotes()
    return str(value)


def key_of(text: str) -> str:
    """The key that an override sets, without Hydra's `+`; `~key` takes one away."""
    return text.partition("=")[0].lstrip("+~")


def value_of(text: str) -> Any:
    """The value that an override sets, with its type."""
    return OverridesParser.create().parse_override(text).value()


def check(overrides: Iterable[str], where: str) -> list[str]:
    """The overrides, each found to be one.

    Args:
        overrides: As typed.
        where: Key of the sweep's configuration, for the message.

    Raises:
        ConfigError: One cannot be read, or stands for several values.
    """
    parser, found = OverridesParser.create(), [str(text) for text in overrides]
    for text in found:
        try:
            several = parser.parse_override(text).is_sweep_override()
        except HydraException as error:
            reason = str(error).splitlines()[0]
            raise ConfigError(f"{where}: '{text}' is no override ({reason})") from error
        if several:
            raise ConfigError(
                f"{where}: '{text}' stands for several values",
                remedy="name them under grid or space; a list is written [1,2]",
            )
    return found


def listed(given: Sequence[str] | Mapping[str, Any], where: str) -> list[str]:
    """Overrides that are given as a list, or as a mapping: `{data: {root: /x}}` is `data.root=/x`.

    Args:
        given: As typed.
        where: Key of the sweep's configuration, for the message.

    Raises:
        ConfigError: One cannot be read, or stands for several values.
    """
    if not isinstance(given, Mapping):
        return check(given, where)
    found = []
    for key, value in given.items():
        if isinstance(value, Mapping):
            found += [f"{key}.{text}" for text in listed(value, where)]
        else:
            found.append(override(str(key), value))
    return found


def merge(*parts: Iterable[str]) -> list[str]:
    """All overrides, one a key: a later one replaces an earlier one."""
    merged: dict[str, str] = {}
    for part in parts:
        merged |= {key_of(text): text for text in part}
    return list(merged.values())
