"""Numbers and names as verdicts, tables and the terminal show them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lightning_brats.metrics import METRICS

SHORT = {
    "dice": "Dice",
    "hd95": "HD95",
    "nsd": "NSD",
    "iou": "IoU",
    "f1": "F1",
    "tp": "found",
    "fp": "invented",
    "fn": "missed",
}
COST_NAMES = {
    "parameters": "parameters",
    "gflops_per_patch": "GFLOPs",
    "train_seconds": "training time",
    "inference_seconds_per_case": "inference time",
    "peak_memory_mb": "memory",
    "energy_kwh": "energy",
}


def metric_name(metric: str) -> str:
    """`lesion_hd95` → `lesion HD95`."""
    return " ".join(SHORT.get(word, word) for word in metric.split("_"))


def unit(metric: str) -> str:
    """` Dice`, ` mm HD95`: what stands behind a difference."""
    own = METRICS[metric].unit
    return f" {own} {metric_name(metric)}" if own else f" {metric_name(metric)}"


def is_share(metric: str) -> bool:
    """Whether 1 is the most there can be."""
    return bool(METRICS[metric].higher_is_better) and not metric.endswith("_tp")


def digits(metric: str) -> int:
    """Decimals of a value."""
    return 1 if METRICS[metric].unit or metric.endswith(("_tp", "_fp", "_fn")) else 3


def number(value: float, metric: str) -> str:
    """A value of a metric with its decimals, one more where it would round to nothing."""
    if math.isnan(value):
        return "–"
    places = digits(metric)
    text = f"{value:.{places}f}"
    if value and float(text) == 0:
        text = f"{value:.{places + 1}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")


def p_text(value: float) -> str:
    """`p = .004`, `p < .001`."""
    if math.isnan(value):
        return "not tested"
    if value < 0.001:
        return "p < .001"
    text = f"{value:.3f}" if value < 0.1 else f"{value:.2f}"
    return f"p = {text.lstrip('0')}" if value < 0.995 else "p = 1"


def percent(share: float) -> str:
    """`93 %`; never 100 % nor 0 % of what is not all or nothing."""
    if 0 < share < 0.005:
        return "less than 1 %"
    return "more than 99 %" if 0.995 <= share < 1 else f"{100 * share:.0f} %"


def listed(names: Sequence[str], word: str = "and") -> str:
    """`WT, TC and ET`."""
    *others, last = names
    return f"{', '.join(others)} {word} {last}" if others else last


def plural(count: int, noun: str) -> str:
    """`1 seed`, `2 seeds`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
