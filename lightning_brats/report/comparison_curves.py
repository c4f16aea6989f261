"""How the choices learned: training loss and validation Dice, by step and by time."""

from __future__ import annotations

from typing import Any

import numpy as np

from lightning_brats.figures.comparison_charts import learning_curves
from lightning_brats.report.comparison_shown import Shown
from lightning_brats.report.html import as_json

CURVES = {"train/loss": "training loss", "val/dice_mean": "mean validation Dice"}
VALIDATION = "val/dice_"
PROGRESS = (("step", "by step"), ("seconds_total", "by time"))


def curves(shown: Shown) -> dict[str, Any]:
    """One view a quantity and a measure of progress; none without a history.

    Returns:
        `curves`, and what a reader can choose between: `curve_axes`.
    """
    history = shown.found.histories
    measured: set[str] = set() if history.empty else set(history["name"])
    names = [name for name in _curve_names(shown) if name in measured]
    views: list[dict[str, Any]] = []
    for name in names:
        own = history[(history["name"] == name) & np.isfinite(history["value"])]
        for axis, _ in PROGRESS:
            known = own.dropna(subset=[axis])
            if len(known):
                figure = learning_curves(known, axis, _curve_label(name), shown.looks)
                chosen = {"quantity": name, "progress": axis}
                label = _curve_label(name)
                title = f"{label[0].upper()}{label[1:]}, {dict(PROGRESS)[axis]}"
                views.append({"chosen": chosen, "title": title, "figure": as_json(figure)})
    used = {view["chosen"]["quantity"] for view in views}
    ways = {view["chosen"]["progress"] for view in views}
    quantities = [(name, _curve_option(name)) for name in names if name in used]
    progress = [pair for pair in PROGRESS if pair[0] in ways]
    axes = [
        {"name": "quantity", "label": "Quantity", "options": quantities},
        {"name": "progress", "label": "Progress", "options": progress},
    ]
    return {"curves": views, "curve_axes": axes}


def _curve_names(shown: Shown) -> list[str]:
    return ["val/dice_mean", *(f"{VALIDATION}{region}" for region in shown.regions), "train/loss"]


def _curve_label(name: str) -> str:
    return CURVES.get(name, f"validation Dice of {name.removeprefix(VALIDATION)}")


def _curve_option(name: str) -> str:
    return CURVES.get(name, name.removeprefix(VALIDATION))
