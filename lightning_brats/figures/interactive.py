"""The same charts as Plotly figures, for pages: hovering names the case.

Colours of text, grid and paper are left to the page, which knows whether it is dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.basedatatypes import BaseTraceType

from lightning_brats.figures.plots import MINIMUM_FOR_BOX, VALIDATION, validated_regions
from lightning_brats.figures.style import GREY, REGION_COLOURS
from lightning_brats.labels import REGION_NAMES

SHARES = ("dice", "lesion_dice")
"""Metrics drawn on the scale from 0 to 1."""
SYMBOLS = {
    "WT": "circle",
    "TC": "square",
    "ET": "diamond",
    "RC": "triangle-up",
    "NETC": "triangle-down",
    "SNFH": "cross",
}


def loss_curve(history: pd.DataFrame) -> go.Figure:
    """Training loss over epochs."""
    line = go.Scatter(
        x=history["epoch"],
        y=history["train/loss"],
        mode="lines",
        line={"color": GREY, "width": 2},
        hovertemplate="epoch %{x}: %{y:.4f}<extra></extra>",
    )
    return _over_epochs([line], history, None)


def dice_curve(history: pd.DataFrame, best_epoch: int | None = None) -> go.Figure:
    """Validation Dice of every region over epochs; a line marks the epoch that was kept."""
    lines = []
    for region in validated_regions(history):
        rows = history.dropna(subset=[VALIDATION + region])
        lines.append(
            go.Scatter(
                x=rows["epoch"],
                y=rows[VALIDATION + region],
                name=region,
                mode="lines+markers",
                line={"color": REGION_COLOURS[region], "width": 2},
                marker={"symbol": SYMBOLS[region], "size": 6},
                hovertemplate=f"{REGION_NAMES[region]}, epoch %{{x}}: %{{y:.3f}}<extra></extra>",
            )
        )
    figure = _over_epochs(lines, history, [0, 1])
    figure.update_layout(showlegend=True)
    if best_epoch is not None:
        figure.add_vline(best_epoch, line_dash="dot", line_width=1.5, line_color=GREY)
        figure.add_annotation(
            x=best_epoch,
            y=0.02,
            yref="paper",
            text="kept",
            showarrow=False,
            xanchor="right",
            xshift=-4,
        )
    return figure


def score_strip(scores: pd.DataFrame, regions: Sequence[str], metric: str) -> go.Figure:
    """One metric of every case by region, with quartiles where there are cases enough.

    Infinite values cannot be drawn; their number stands under the region's name.

    Args:
        scores: Tidy rows `case, region, metric, value`.
        regions: Order along the axis.
        metric: Which rows to draw.
    """
    rows = scores[scores["metric"] == metric]
    values = rows["value"].to_numpy(float)
    top = 1.0 if metric in SHARES else values[np.isfinite(values)].max(initial=0) or 1.0
    # Room below zero, where a symbol at 0 would be cut.
    figure = chart([], None, [-0.03 * top, 1.04 * top])
    for region in regions:
        own = rows[rows["region"] == region]
        finite = own[np.isfinite(own["value"])]
        infinite = int(np.isinf(own["value"]).sum())
        figure.add_trace(
            _points(finite, region, f"{region}<br>{infinite} infinite" if infinite else region)
        )
    return figure


def _points(rows: pd.DataFrame, region: str, label: str) -> go.Box:
    colour = REGION_COLOURS[region]
    boxed = len(rows) >= MINIMUM_FOR_BOX
    return go.Box(
        x=[label] * len(rows),
        y=rows["value"],
        name=label,
        # Plotly reads a few HTML tags in texts, and case names come from files.
        text=[escape(str(case)) for case in rows["case"]],
        boxpoints="all",
        jitter=0.5,
        pointpos=0,
        width=0.5,
        marker={"color": colour, "symbol": SYMBOLS[region], "size": 8, "opacity": 0.9},
        line={"color": colour if boxed else "rgba(0,0,0,0)", "width": 1.5},
        fillcolor="rgba(0,0,0,0)",
        hoveron="points",
        hovertemplate="%{text}: %{y:.3f}<extra>" + region + "</extra>",
    )


def _over_epochs(
    lines: list[go.Scatter], history: pd.DataFrame, y_range: list[float] | None
) -> go.Figure:
    figure = chart(lines, "epoch", y_range)
    # Few epochs would get ticks at fractions.
    return figure.update_xaxes(dtick=1) if len(history) <= 10 else figure


def chart(
    traces: Sequence[BaseTraceType],
    x_title: str | None,
    y_range: list[float] | None,
    y_title: str | None = None,
    height: int = 300,
) -> go.Figure:
    """A figure that leaves colours to the page; a legend, where shown, stands above it."""
    return go.Figure(
        traces,
        {
            "template": None,
            "height": height,
            "margin": {"l": 60 if y_title else 44, "r": 12, "t": 12, "b": 44},
            "showlegend": False,
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
            "xaxis": {
                "title": {"text": x_title, "font": {"size": 13}},
                "zeroline": False,
                "showgrid": False,
            },
            "yaxis": {
                "title": {"text": y_title, "font": {"size": 13}},
                "range": y_range,
                "zeroline": False,
            },
            "hoverlabel": {"align": "left"},
        },
    )
