"""Whether confidence is deserved: calibration, predicted next to true Dice, risk over coverage.

Each chart comes twice: for pages, and as a still picture for papers and for paper.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from html import escape
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lightning_brats.evaluation.reliability import Calibration, RiskCoverage
from lightning_brats.figures.interactive import SYMBOLS, chart
from lightning_brats.figures.plots import tidy
from lightning_brats.figures.style import GREY, INK, REGION_COLOURS, REGION_SYMBOLS

PREDICTED, TRUE = "predicted Dice", "true Dice"
PROBABILITY, FREQUENCY = "predicted probability", "share of voxels that are positive"
COVERAGE, RISK = "coverage: share of cases kept", "mean risk (1 − Dice)"
UNIT = [-0.03, 1.03]
"""Axis from 0 to 1 with room for symbols at its ends."""


class Curve(NamedTuple):
    """A line of the risk–coverage chart."""

    name: str
    values: RiskCoverage
    dash: str
    colour: str


def risk_curves(predicted: Sequence[float], true: Sequence[float]) -> list[Curve]:
    """By predicted Dice, and between what bounds that lies."""
    return [
        Curve("by predicted Dice", RiskCoverage.measure(predicted, true), "solid", "#0072B2"),
        Curve("best possible", RiskCoverage.oracle(true), "dash", "#009E73"),
        Curve("at random", RiskCoverage.random(true), "dot", GREY),
    ]


def calibration_chart(measured: Mapping[str, Calibration]) -> go.Figure:
    """Observed frequency over predicted probability, by region."""
    lines = [_diagonal()]
    for region, calibration in measured.items():
        confidence, frequency, count = calibration.curve()
        lines.append(
            go.Scatter(
                x=confidence,
                y=frequency,
                customdata=count,
                name=f"{region}, ECE {calibration.ece:.3f}",
                mode="lines+markers",
                line={"color": REGION_COLOURS[region], "width": 2},
                marker={"symbol": SYMBOLS[region], "size": 7},
                hovertemplate=f"{region}: probability %{{x:.2f}}, %{{y:.1%}} positive, "
                "%{customdata:,} voxels<extra></extra>",
            )
        )
    return _unit_chart(lines, PROBABILITY, FREQUENCY)


def dice_chart(pairs: pd.DataFrame) -> go.Figure:
    """True over predicted Dice, one point a case and region.

    Args:
        pairs: Columns case, region, predicted, true.
    """
    points = [
        go.Scatter(
            x=rows["predicted"],
            y=rows["true"],
            # Plotly reads a few HTML tags in texts, and case names come from files.
            text=[escape(str(case)) for case in rows["case"]],
            name=region,
            mode="markers",
            marker={"symbol": SYMBOLS[region], "size": 8, "color": REGION_COLOURS[region]},
            hovertemplate="%{text}: predicted %{x:.3f}, true %{y:.3f}<extra>"
            + str(region)
            + "</extra>",
        )
        for region, rows in pairs.groupby("region", sort=False)
    ]
    return _unit_chart([_diagonal(), *points], PREDICTED, TRUE)


def risk_chart(predicted: Sequence[float], true: Sequence[float]) -> go.Figure:
    """Mean risk of the cases kept over their share."""
    lines = [
        go.Scatter(
            x=curve.values.coverage,
            y=curve.values.risk,
            name=f"{curve.name}, AURC {curve.values.aurc:.3f}",
            mode="lines+markers" if len(true) <= 30 else "lines",
            line={"color": curve.colour, "dash": curve.dash, "width": 2},
            hovertemplate=f"{curve.name}, %{{x:.0%}} kept: risk %{{y:.3f}}<extra></extra>",
        )
        for curve in risk_curves(predicted, true)
    ]
    figure = chart(lines, COVERAGE, None, RISK, height=340).update_layout(showlegend=True)
    figure.update_yaxes(rangemode="tozero")
    return figure.update_xaxes(range=UNIT, tickformat=".0%")


def confidence_still(
    measured: Mapping[str, Calibration],
    pairs: pd.DataFrame,
    means: tuple[Sequence[float], Sequence[float]] | None,
) -> Figure:
    """The charts side by side, each where there is something to draw.

    Args:
        measured: Region → calibration; may be empty.
        pairs: Columns case, region, predicted, true; may be empty.
        means: Predicted and true mean Dice of the cases, where a curve can be made of them.
    """
    drawn: list[Callable[[Axes], None]] = []
    if measured:
        drawn.append(partial(_draw_calibration, measured=measured))
    if len(pairs):
        drawn.append(partial(_draw_dice, pairs=pairs))
    if means is not None:
        drawn.append(partial(_draw_risk, predicted=means[0], true=means[1]))
    figure = Figure(figsize=(4.6 * len(drawn), 4.3), layout="constrained")
    for axes, draw in zip(np.atleast_1d(figure.subplots(1, len(drawn))), drawn, strict=True):
        draw(axes)
        tidy(axes)
    return figure


def _draw_calibration(axes: Axes, measured: Mapping[str, Calibration]) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1.2)
    for region, calibration in measured.items():
        confidence, frequency, _ = calibration.curve()
        axes.plot(
            confidence,
            frequency,
            color=REGION_COLOURS[region],
            marker=REGION_SYMBOLS[region],
            markersize=4,
            label=f"{region}, ECE {calibration.ece:.3f}",
        )
    axes.set(xlabel=PROBABILITY, ylabel=FREQUENCY, title="Calibration", xlim=UNIT, ylim=UNIT)
    axes.legend(frameon=False, fontsize=9, loc="upper left")


def _draw_dice(axes: Axes, pairs: pd.DataFrame) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1.2)
    for region, rows in pairs.groupby("region", sort=False):
        axes.scatter(
            rows["predicted"],
            rows["true"],
            s=28,
            color=REGION_COLOURS[str(region)],
            marker=REGION_SYMBOLS[str(region)],
            edgecolors=INK,
            linewidths=0.5,
            label=str(region),
        )
    axes.set(xlabel=PREDICTED, ylabel=TRUE, title="Dice", xlim=UNIT, ylim=UNIT)
    axes.legend(frameon=False, fontsize=9, loc="upper left")


def _draw_risk(axes: Axes, predicted: Sequence[float], true: Sequence[float]) -> None:
    for curve in risk_curves(predicted, true):
        axes.plot(
            curve.values.coverage,
            curve.values.risk,
            color=curve.colour,
            linestyle={"solid": "-", "dash": "--", "dot": ":"}[curve.dash],
            label=f"{curve.name}, AURC {curve.values.aurc:.3f}",
        )
    axes.set(xlabel=COVERAGE, ylabel=RISK, title="Risk over coverage", xlim=UNIT)
    low, high = axes.get_ylim()
    axes.set_ylim(0, high + 0.35 * (high - min(low, 0)))  # room for the legend
    axes.legend(frameon=False, fontsize=9, loc="upper left")


def _diagonal() -> go.Scatter:
    return go.Scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"color": GREY, "dash": "dot", "width": 1.5},
        hoverinfo="skip",
        showlegend=False,
    )


def _unit_chart(traces: Sequence[go.Scatter], x_title: str, y_title: str) -> go.Figure:
    figure = chart(traces, x_title, UNIT, y_title, height=340)
    return figure.update_layout(showlegend=True).update_xaxes(range=UNIT)
