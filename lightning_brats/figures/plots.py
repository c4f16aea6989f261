"""Learning curves and score distributions as still pictures, for papers and slides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lightning_brats.figures.style import INK, REGION_COLOURS, REGION_SYMBOLS
from lightning_brats.labels import REGION_NAMES

STRIP_METRICS = {
    "dice": "Dice",
    "hd95": "HD95 (mm)",
    "lesion_dice": "Lesion-wise Dice",
    "lesion_hd95": "Lesion-wise HD95 (mm)",
}
"""Drawn in pairs, a share and a distance, as far as they were measured."""
VALIDATION = "val/dice_"
MINIMUM_FOR_BOX = 5
"""Fewer cases than this are shown as points alone: their quartiles would say nothing."""


def validated_regions(history: pd.DataFrame) -> list[str]:
    """Regions with at least one validation score in the table of epochs."""
    columns = [
        name for name in history if name.startswith(VALIDATION) and history[name].notna().any()
    ]
    return [name.removeprefix(VALIDATION) for name in columns if name != f"{VALIDATION}mean"]


def learning_curves(history: pd.DataFrame) -> Figure:
    """Training loss and validation Dice over epochs.

    Args:
        history: One row an epoch: `epoch`, `train/loss`, and `val/dice_<region>` where validated.
    """
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    loss, dice = figure.subplots(1, 2)
    loss.plot(history["epoch"], history["train/loss"], color=INK, linewidth=1.6)
    loss.set(xlabel="epoch", title="Training loss")
    for region in validated_regions(history):
        rows = history.dropna(subset=[VALIDATION + region])
        dice.plot(
            rows["epoch"],
            rows[VALIDATION + region],
            color=REGION_COLOURS[region],
            marker=REGION_SYMBOLS[region],
            markersize=4,
            linewidth=1.6,
            label=f"{region} {REGION_NAMES[region]}",
        )
    dice.set(xlabel="epoch", title="Validation Dice", ylim=(0, 1))
    if dice.lines:
        dice.legend(frameon=False, fontsize=9, loc="lower right")
    else:
        dice.text(0.5, 0.5, "no validation epoch", ha="center", transform=dice.transAxes)
    for axes in (loss, dice):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        tidy(axes)
    return figure


def score_strips(scores: pd.DataFrame, regions: Sequence[str]) -> Figure:
    """Dice and HD95 of every case by region, lesion-wise too where these were measured.

    Infinite distances are counted under the region.

    Args:
        scores: Tidy rows `case, region, metric, value`.
        regions: Order along the axis.
    """
    measured = {"dice", "hd95", *scores["metric"]}
    names = {metric: name for metric, name in STRIP_METRICS.items() if metric in measured}
    rows_of_axes = -(-len(names) // 2)
    figure = Figure(figsize=(10, 4.2 * rows_of_axes), layout="constrained")
    grid = figure.subplots(rows_of_axes, 2, squeeze=False).ravel()
    for axes, (metric, name) in zip(grid, names.items(), strict=False):
        rows = scores[scores["metric"] == metric]
        values = [rows.loc[rows["region"] == region, "value"].to_numpy() for region in regions]
        for place, (region, found) in enumerate(zip(regions, values, strict=True)):
            _strip(axes, place, found[np.isfinite(found)], region)
        axes.set_xticks(range(len(regions)), _strip_labels(regions, values))
        axes.set_title(name)
        axes.set_xlim(-0.6, len(regions) - 0.4)
        if metric.endswith("dice"):
            axes.set_ylim(-0.03, 1.03)
        tidy(axes)
    for axes in grid[len(names) :]:
        axes.set_axis_off()
    return figure


def _strip(axes: Axes, place: int, values: np.ndarray, region: str) -> None:
    spread = np.random.default_rng(0).uniform(-0.16, 0.16, values.size)
    axes.scatter(
        place + spread,
        values,
        s=26,
        color=REGION_COLOURS[region],
        marker=REGION_SYMBOLS[region],
        edgecolors=INK,
        linewidths=0.5,
        zorder=3,
    )
    if values.size >= MINIMUM_FOR_BOX:
        line = {"color": INK, "linewidth": 1.2}
        axes.boxplot(
            values,
            positions=[place],
            widths=0.5,
            showfliers=False,
            medianprops={"color": INK, "linewidth": 2},
            boxprops=line,
            whiskerprops=line,
            capprops=line,
        )


def _strip_labels(regions: Sequence[str], values: Sequence[np.ndarray]) -> list[str]:
    counts = [int(np.isinf(found).sum()) for found in values]
    return [
        f"{region}\n{count} infinite" if count else region
        for region, count in zip(regions, counts, strict=True)
    ]


def tidy(axes: Axes) -> None:
    """The look that all charts share."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#9AA1AC")
    axes.grid(axis="y", color="#E4E7EB", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=9)
    axes.title.set(fontsize=11, fontweight="bold", color=INK)
