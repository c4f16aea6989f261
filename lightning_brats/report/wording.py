"""Numbers and settings as people read them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lightning_brats.metrics import METRICS

MISSING = "–"
ABBREVIATIONS = {
    "dice": "Dice",
    "hd95": "HD95",
    "nsd": "NSD",
    "iou": "IoU",
    "tp": "TP",
    "fp": "FP",
    "fn": "FN",
    "f1": "F1",
}
FINE = ("specificity", "accuracy")
"""Shares so close to 1 that they take one more decimal."""


def number(value: float | None, digits: int = 3) -> str:
    """Fixed decimals; a dash where there is no value, ∞ where it is infinite."""
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    # Adding 0 makes a rounded −0 a 0.
    return f"{round(value, digits) + 0:.{digits}f}".replace("-", "−")


def heading(metric: str) -> str:
    """Name and unit of a metric: `lesion_hd95` → `Lesion HD95 (mm)`."""
    words = " ".join(ABBREVIATIONS.get(word, word) for word in metric.split("_"))
    unit = METRICS[metric].unit
    return words[0].upper() + words[1:] + (f" ({unit})" if unit else "")


def digits(metric: str) -> int:
    """Decimals a metric is shown with."""
    counted = metric.endswith(("_tp", "_fp", "_fn"))
    return 1 if METRICS[metric].unit or counted else 3 + (metric in FINE)


def amount(value: float | None, unit: str = "") -> str:
    """Three significant digits with k, M or G: `5646251` → `5.65 M`."""
    if value is None:
        return MISSING
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}".rstrip()


def duration(seconds: float | None) -> str:
    """The two largest units: `3 h 12 min`."""
    if seconds is None:
        return MISSING
    whole = round(seconds)
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{seconds:.1f} s"


def setting(value: Any) -> str:
    """A leaf of the configuration: `[16, 32]` → `16, 32`; nothing → `none`; a part its name."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        target, leaves = settings(value)
        inside = ", ".join(f"{name} {text}" for name, text in leaves)
        return f"{target} ({inside})" if target and inside else target or inside
    if isinstance(value, list | tuple):
        return ", ".join(setting(item) for item in value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def settings(group: Mapping[str, Any]) -> tuple[str, list[tuple[str, str]]]:
    """Name of what a config group builds, and its settings with dotted names."""
    target = str(group.get("_target_", "")).rpartition(".")[2]
    return target, list(_leaves(group, ""))


def _leaves(group: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in group.items():
        if str(key).startswith("_"):
            continue
        if isinstance(value, Mapping):
            inner = str(value.get("_target_", "")).rpartition(".")[2]
            if inner:
                yield f"{prefix}{key}", inner
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", setting(value)


def plural(count: int, noun: str) -> str:
    """`1 case`, `2 cases`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def listed(names: Sequence[str]) -> str:
    """`WT, TC and ET`."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
