"""The settings in which runs differ, as axes of a plot."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from lightning_brats.comparison.choices import OPTIONS, factors
from lightning_brats.comparison.loading import CONFIG
from lightning_brats.errors import DataError
from lightning_brats.runs import flat
from lightning_brats.tracking import CHOICE

DECADES = 100
"""Largest over smallest value from which on an axis is logarithmic."""


@dataclass(frozen=True)
class Axis:
    """A setting.

    Args:
        key: In the configuration that runs log, e.g. `choice.loss` or `optimizer.lr`.
        log: Whether it is read on a logarithmic scale.
    """

    key: str
    log: bool = False


def varied(folder: Path) -> tuple[Axis, ...]:
    """The settings in which the runs under a folder differ; none where there are no two runs.

    Raises:
        DataError: A run's configuration is damaged.
    """
    settings = [_settings(path) for path in _configurations(folder)]
    levels = factors(settings)
    names = dict.fromkeys(name for own in levels for name in own)
    return tuple(
        Axis(f"{CHOICE}.{name}") if name in OPTIONS else Axis(name, _spans_decades(name, settings))
        for name in names
    )


def options(names: Sequence[str]) -> tuple[Axis, ...]:
    """Axes of config groups, for runs whose settings are not at hand."""
    return tuple(Axis(f"{CHOICE}.{name}") for name in names)


def _configurations(folder: Path) -> list[Path]:
    found = []
    for place, below, names in os.walk(folder):
        below.sort()
        if CONFIG in names:
            below.clear()  # the tracker keeps files of that name inside a run
            found.append(Path(place) / CONFIG)
    return found


def _settings(path: Path) -> dict[str, Any]:
    try:
        return flat(OmegaConf.load(path))
    except (OSError, YAMLError, OmegaConfBaseException, AttributeError) as error:
        remedy = "remove the damaged run, or name other runs"
        raise DataError("unreadable configuration", file=path, remedy=remedy) from error


def _spans_decades(name: str, settings: Sequence[Mapping[str, Any]]) -> bool:
    values = [own[name] for own in settings if name in own]
    if not all(type(value) in (int, float) and value > 0 for value in values):
        return False
    return bool(max(values) >= DECADES * min(values))
