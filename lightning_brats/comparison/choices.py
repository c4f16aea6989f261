"""What differs between runs: the names of the choices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from omegaconf import OmegaConf

from lightning_brats.comparison.given import RESOLVED, as_given
from lightning_brats.runs import flat

OPTIONS = (
    "model",
    "loss",
    "augmentation",
    "optimizer",
    "scheduler",
    "preprocess",
    "postprocess",
    "inference",
)
"""Config groups of which one option is chosen."""

NOT_CHOICES = (
    RESOLVED,
    "seed",
    "fold",
    "folds",
    "split",
    "name",
    "model_name",
    "runs",
    "resume",
    "tracking",
    "data._target_",
    "data.root",
    "data.roots",
    "data.table",
    "data.layout",
    "data.labels",
    "data.phantom",
    "data.on_bad_case",
    "data.cache",
    "augmentation.device",
    "queue.workers",
    "queue.max_bytes",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
    "trainer.threads",
)
"""Settings in which runs of one choice may differ: chance, places and machines. Other data are
found by comparing fingerprints."""

LONGEST = 32


def factors(settings: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """What is set differently, by run.

    Args:
        settings: Override path → value, one a run. They are compared as they were given,
            see `as_given`.

    Returns:
        For each run, factor → its level: of a config group the option (`loss` → `dice_focal`), and
        of settings that differ between runs of one option their value (`optimizer.lr` → `0.001`).
        A group that a run does not have, as a classical method has no loss, sets nobody apart.
    """
    given = [as_given(own) for own in settings]
    named = [{g: option(own, g) for g in OPTIONS if _has(own, g)} for own in given]
    found: list[dict[str, str]] = [{} for _ in settings]
    for group in OPTIONS:
        if len({own[group] for own in named if group in own}) > 1:
            for levels, own in zip(found, named, strict=True):
                if group in own:
                    levels[group] = own[group]
    columns: list[list[str | None]] = []
    for key in dict.fromkeys(key for own in settings for key in own):
        if not _is_free(key) and all(_varies(key, each, named) for each in (settings, given)):
            texts = iter(_texts([own[key] for own in given if key in own]))
            column = [next(texts) if key in own else None for own in given]
            if column in columns:
                continue  # follows another setting, as the window of inference does the patch
            columns.append(column)
            for levels, text in zip(found, column, strict=True):
                if text is not None:
                    levels[key] = text
    return found


def label(levels: Mapping[str, str]) -> str:
    """`unet · dice_focal · lr=0.001`."""
    options = [level for factor, level in levels.items() if factor in OPTIONS]
    others = [
        f"{key.rpartition('.')[2]}={level}" for key, level in levels.items() if key not in OPTIONS
    ]
    return " · ".join([*options, *others])


def option(settings: Mapping[str, Any], group: str) -> str:
    """Name of a group's option: the one of whose values the fewest were changed."""
    if group == "model" and settings.get("model_name"):
        return str(settings["model_name"])
    own = {key: value for key, value in settings.items() if key.startswith(f"{group}.")}
    known = _known(group)
    distance = {
        name: sum(own.get(key) != values.get(key) for key in own.keys() | values.keys())
        for name, values in known.items()
    }
    target = own.get(f"{group}._target_")
    same = [name for name in known if known[name].get(f"{group}._target_") == target]
    if same:
        return min(same, key=lambda name: distance[name])
    return str(target).rpartition(".")[2] if target else "–"


def _varies(
    key: str, settings: Sequence[Mapping[str, Any]], named: Sequence[Mapping[str, str]]
) -> bool:
    """Whether a setting differs between runs that have the same option of its group."""
    group = key.partition(".")[0]
    seen: dict[str, set[str]] = {}
    for own, options in zip(settings, named, strict=True):
        if not _has(own, group):
            continue
        seen.setdefault(options.get(group, ""), set()).add(repr(own.get(key)))
    return any(len(values) > 1 for values in seen.values())


def _has(own: Mapping[str, Any], group: str) -> bool:
    """Whether a run has a group, or a single setting of this name, at all."""
    if group == "model" and own.get("model_name"):
        return True
    return any(key == group or key.startswith(f"{group}.") for key in own)


def _is_free(key: str) -> bool:
    return any(key == free or key.startswith(f"{free}.") for free in NOT_CHOICES)


def _texts(values: Sequence[Any]) -> list[str]:
    """Values as short as different ones stay different."""
    distinct = {repr(v) if isinstance(v, list | dict) else v for v in values}
    for digits in (3, 6):
        texts = [_text(value, digits) for value in values]
        if len(set(texts)) == len(distinct):
            return texts
    return [str(value) for value in values]


def _text(value: Any, digits: int) -> str:
    """A value as it is typed in an override."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


@cache
def _known(group: str) -> dict[str, dict[str, Any]]:
    """Option → its settings with full paths."""
    folder = files("lightning_brats.configs") / group
    names = [entry.name for entry in folder.iterdir() if entry.name.endswith(".yaml")]
    return {
        name.removesuffix(".yaml"): flat(_composed(folder, name), f"{group}.")
        for name in sorted(names)
    }


def _composed(folder: Traversable, name: str) -> dict[str, Any]:
    """An option with those it is built upon."""
    own: Any = OmegaConf.create((folder / name).read_text(encoding="utf-8"))
    parents = [parent for parent in own.pop("defaults", []) if parent != "_self_"]
    merged = OmegaConf.merge(*(_parent(folder, parent) for parent in parents), own)
    content: Any = OmegaConf.to_container(merged)
    return content


def _parent(folder: Traversable, parent: Any) -> dict[str, Any]:
    """Entry of a defaults list; of `{/model@generator: unet}` the option lies under `generator`."""
    if isinstance(parent, str):
        return _composed(folder, f"{parent}.yaml")
    ((place, option),) = parent.items()
    return {place.partition("@")[2]: _composed(folder, f"{option}.yaml")}
