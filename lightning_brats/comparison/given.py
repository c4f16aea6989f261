"""A run's settings as they were given: what the run worked out itself is `auto` again.

Weights of the classes and patch sizes follow from the training cases, so they differ from fold to
fold, and runs of other seeds may start from first stages of their own. None of that is a choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lightning_brats.comparison.entry import Entry

RESOLVED = "resolved"
"""Key of a run's settings: paths of those that were `auto`. Older runs have none."""
AUTO = "auto"
WEIGHTS, GIVEN = "weights", "given"
BY_MACHINE = ("queue.patch_size", "queue.batch_size", "trainer.precision")
"""Settings that, left to a run, follow from its machine too."""


def as_given(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with `auto` where they were; of weights to start from only whether there are any.

    Args:
        settings: Override path → value, with `resolved` where the run says so.
    """
    found = dict(settings)
    for path in found.pop(RESOLVED, None) or ():
        _open(found, str(path).split("."))
    if found.get(WEIGHTS):
        found[WEIGHTS] = GIVEN
    return found


def open_paths(content: Any, prefix: str = "") -> list[str]:
    """Paths of every `auto` in a configuration, places in lists counted from 0."""
    if isinstance(content, Mapping):
        items = [(str(key), value) for key, value in content.items()]
    elif isinstance(content, list):
        items = [(str(place), value) for place, value in enumerate(content)]
    else:
        return [prefix.removesuffix(".")] if content == AUTO else []
    return [path for name, value in items for path in open_paths(value, f"{prefix}{name}.")]


def worked_out(entries: Sequence[Entry]) -> Iterator[str]:
    """What runs of one choice worked out for themselves, and not all alike."""
    values: dict[tuple[str, str], dict[str, None]] = {}
    for entry in entries:
        for key in entry.settings.get(RESOLVED) or ():
            if key in BY_MACHINE:
                seen = values.setdefault((entry.choice, key), {})
                seen[str(entry.settings.get(key))] = None
    for (choice, key), seen in values.items():
        if len(seen) > 1:
            yield f"Runs of {choice} chose {key} for themselves, differently: {', '.join(seen)}."


def _open(settings: dict[str, Any], path: Sequence[str]) -> None:
    """Set one path to `auto`; lists are one setting, so it may lead into one."""
    for length in range(len(path), 0, -1):
        key = ".".join(path[:length])
        if key in settings:
            settings[key] = _opened(settings[key], path[length:])
            return


def _opened(value: Any, path: Sequence[str]) -> Any:
    if not path:
        return AUTO
    if isinstance(value, list):
        return [_opened(v, path[1:]) if str(i) == path[0] else v for i, v in enumerate(value)]
    if isinstance(value, Mapping):
        return {k: _opened(v, path[1:]) if k == path[0] else v for k, v in value.items()}
    return value
