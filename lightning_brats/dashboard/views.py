"""What the dashboard shows, made of keys that runs log (see `lightning_brats.tracking`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import wandb_workspaces.reports.v2 as wr

from lightning_brats.dashboard.axes import Axis
from lightning_brats.tracking import BEST, CASES, CHOICE, OVERLAYS

TEST = "dice_mean"
SECONDS = "train_seconds"
"""Keys of `summary.json`, which is every finished run's summary."""
WIDTH = 24
"""Columns of a report's grid of panels."""


@dataclass(frozen=True)
class View:
    """Panels that belong together.

    Args:
        heading: Of the section.
        text: What to know in order to read it.
        panels: In reading order.
        by: The config group by which runs are grouped; `None` shows each run.
        columns: Panels beside each other.
    """

    heading: str
    text: str
    panels: list[Any]
    by: str | None = None
    columns: int = 3


def views(
    regions: Sequence[str], by: Sequence[str], axes: Sequence[Axis], grouping: bool
) -> list[View]:
    """All views, in order.

    Args:
        regions: Whose Dice is shown.
        by: Config groups; a view each.
        axes: Settings that differ between runs.
        grouping: Whether panels group the runs themselves, as they must where they share one list
            of runs with panels that show single runs.
    """
    groups = [
        View(
            f"By {name}",
            f"Mean of the runs of each {name}; bands and whiskers show the standard deviation over "
            "them. Training losses compare within one loss function alone.",
            _grouped(regions, wr.Config(key(name)) if grouping else None),
            by=name,
        )
        for name in by
    ]
    return [
        *groups,
        View(
            "Settings",
            "One line a run, through its settings to the best validation Dice it reached; which "
            "settings go with it; and test Dice against the seconds of training.",
            _over_settings(axes),
            columns=1,
        ),
        View(
            "Cases",
            "A row is a test case and a column a run: the axial slice with most tumour, with "
            "reference and prediction. Below, the scores of each case, joined over runs.",
            _over_cases(),
            columns=1,
        ),
    ]


def key(name: str) -> str:
    """Where runs log which option of a config group they use."""
    return f"{CHOICE}.{name}"


def _grouped(regions: Sequence[str], groupby: Any) -> list[Any]:
    """Learning curves, then test scores."""
    shown = {"groupby": groupby, "groupby_aggfunc": "mean", "groupby_rangefunc": "stddev"}
    curves = {f"Validation Dice, {name}": f"val/dice_{name}" for name in ("mean", *regions)}
    bars = {"Test Dice, mean": TEST} | {
        f"Test Dice, {name}": f"regions/{name}/dice" for name in regions
    }
    return [
        *(wr.LinePlot(title, x="epoch", y=[name], **shown) for title, name in curves.items()),
        wr.LinePlot("Training loss", x="epoch", y=["train/loss"], **shown),
        *(wr.BarPlot(title, metrics=[name], **shown) for title, name in bars.items()),
    ]


def _over_settings(axes: Sequence[Axis]) -> list[Any]:
    columns = [
        wr.ParallelCoordinatesPlotColumn(wr.Config(axis.key), log=axis.log or None) for axis in axes
    ]
    best = wr.ParallelCoordinatesPlotColumn(wr.SummaryMetric(BEST))
    return [
        wr.ParallelCoordinatesPlot(
            [*columns, best], title="Settings and best validation Dice", layout=_wide(10)
        ),
        wr.ParameterImportancePlot(with_respect_to=BEST, layout=_wide(8, WIDTH // 2)),
        wr.ScatterPlot(
            "Test Dice against seconds of training",
            x=wr.SummaryMetric(SECONDS),
            y=wr.SummaryMetric(TEST),
            log_x=True,
            layout=_wide(8, WIDTH // 2),
        ),
    ]


def _over_cases() -> list[Any]:
    return [
        wr.MediaBrowser(
            "The same cases side by side",
            media_keys=[OVERLAYS],
            mode="grid",
            grid_x_axis="run",
            grid_y_axis="index",
            layout=_wide(20),
        ),
        wr.WeavePanelSummaryTable(table_name=CASES, layout=_wide(14)),
    ]


def _wide(height: int, width: int = WIDTH) -> Any:
    return wr.Layout(w=width, h=height)
