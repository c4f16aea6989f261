"""What the gallery shows: single transforms by strength, and presets by draw."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torchio as tio
from omegaconf import DictConfig

from lightning_brats.data.transforms import chain
from lightning_brats.errors import ConfigError
from lightning_brats.parts import build, plain


@dataclass(frozen=True)
class Item:
    """A transform or preset.

    Args:
        key: Its name in the configuration.
        title: For people.
        about: What it does and where it comes from.
        transforms: Strength → transform; of a preset the only one has no name.
        preset: Whether it is one, drawn several times.
    """

    key: str
    title: str
    about: str
    transforms: Mapping[str, tio.Transform]
    preset: bool = False


def items(cfg: DictConfig) -> list[Item]:
    """Everything that is to be shown, presets first.

    Args:
        cfg: `configs/gallery.yaml`.

    Raises:
        ConfigError: `only` names something that there is not, or a transform refuses its settings.
    """
    known = {item.key: item for item in (*_presets(cfg), *_single(cfg))}
    wanted: Sequence[str] = list(cfg.only or known)
    unknown = [key for key in wanted if key not in known]
    if unknown:
        raise ConfigError(
            f"the gallery has no {', '.join(unknown)}", remedy=f"only= some of {', '.join(known)}"
        )
    return [item for key, item in known.items() if key in wanted]


def _presets(cfg: DictConfig) -> Iterator[Item]:
    for key, config in plain(cfg.presets).items():
        about = cfg.about.get(key, "")
        yield Item(key, f"augmentation={key}", about, {"": build(config)}, preset=True)


def _single(cfg: DictConfig) -> Iterator[Item]:
    for key, own in plain(cfg.single).items():
        transforms = {
            strength: _chained({**own["transform"], **changes}, own.get("keep_background", True))
            for strength, changes in own["strengths"].items()
        }
        yield Item(key, own["title"], own["about"], transforms)


def _chained(config: Mapping[str, Any], keep_background: bool) -> tio.Transform:
    found = chain([build(config)], keep_background=keep_background)
    assert found is not None
    return found
