"""Plotly charts of a comparison: learning curves, and quality over cost.

Colours of text, grid and paper are left to the page, which knows whether it is dark.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lightning_brats.figures.comparison_style import Look
from lightning_brats.figures.interactive import chart
from lightning_brats.figures.style import GREY

NAMED = 8
"""Up to so many choices have their name beside the symbol; more have a legend."""
HEIGHT = 400
LOGARITHMIC = 20.0
"""Ratio of largest to smallest from which an axis is logarithmic."""


def learning_curves(
    history: pd.DataFrame, axis: str, label: str, looks: Mapping[str, Look]
) -> go.Figure:
    """One quantity over training: a thin line a run, a thick one for the mean of a choice's runs.

    Args:
        history: Columns choice, seed, fold, epoch, value, and the axis.
        axis: `step` or `seconds_total`.
        label: Of the quantity.
        looks: Of the choices.
    """
    factor, title = (1.0, "training step")
    if axis == "seconds_total":
        factor, title = _time_unit(float(history[axis].max()))
    traces = []
    for choice, look in looks.items():
        own = history[history["choice"] == choice]
        runs = [run for _, run in own.groupby(["seed", "fold"], dropna=False)]
        for run in runs if len(runs) > 1 else ():
            traces.append(_curve(run, axis, factor, look, choice, False))
        if runs:
            traces.append(_curve(_mean_run(own, axis, len(runs)), axis, factor, look, choice, True))
    figure = chart(traces, title, None, label, HEIGHT)
    return figure.update_layout(showlegend=True)


def _time_unit(longest: float) -> tuple[float, str]:
    """Seconds are multiplied with the factor; and the title of the axis."""
    if longest > 3 * 3600:
        return 1 / 3600, "training time (h)"
    return (1 / 60, "training time (min)") if longest > 300 else (1.0, "training time (s)")


def _mean_run(own: pd.DataFrame, axis: str, runs: int) -> pd.DataFrame:
    """Mean over the runs of the epochs that all of them have."""
    grouped = own.groupby("epoch")
    mean = grouped[[axis, "value"]].mean().reset_index()
    return mean[grouped["value"].count().to_numpy() == runs]


def _curve(
    run: pd.DataFrame, axis: str, factor: float, look: Look, choice: str, thick: bool
) -> go.Scatter:
    name = escape(choice)
    style: dict[str, Any] = {"color": look.colour, "width": 2.6 if thick else 1, "dash": look.dash}
    return go.Scatter(
        x=(run[axis] * factor).round(3).tolist(),
        y=run["value"].round(5).tolist(),
        name=name,
        legendgroup=name,
        showlegend=thick,
        mode="lines+markers" if thick and len(run) <= 40 else "lines",
        line=style,
        marker={"symbol": look.symbol, "size": 6},
        opacity=1 if thick else 0.55,
        hovertemplate="%{y:.3f}<extra>%{fullData.name}</extra>" if thick else None,
        hoverinfo=None if thick else "skip",
    )


def pareto(table: pd.DataFrame, titles: tuple[str, str], looks: Mapping[str, Look]) -> go.Figure:
    """Quality over one cost; a line joins the choices that none beats in both.

    Args:
        table: Columns choice, cost, score, front.
        titles: Of the axes.
        looks: Of the choices.
    """
    costs = table["cost"].to_numpy(float)
    logarithmic = bool(costs.min() > 0 and costs.max() / costs.min() >= LOGARITHMIC)
    places = np.log10(costs) if logarithmic else costs
    margin = 0.14 * float(np.ptp(places)) or 0.1 * abs(float(places[0])) or 1.0
    limits = [float(places.min()) - margin, float(places.max()) + margin]
    named = len(table) <= NAMED
    front = table[table["front"]].sort_values("cost")
    traces = [
        go.Scatter(
            x=front["cost"].tolist(),
            y=front["score"].tolist(),
            mode="lines",
            line={"color": GREY, "dash": "dot", "width": 1.5},
            hoverinfo="skip",
            showlegend=False,
        )
    ]
    for row, place in zip(table.itertuples(), places, strict=True):
        look = looks[str(row.choice)]
        right = place > sum(limits) / 2
        traces.append(
            go.Scatter(
                x=[row.cost],
                y=[row.score],
                name=escape(str(row.choice)),
                text=[f"{escape(str(row.choice))}  " if right else f"  {escape(str(row.choice))}"],
                textposition="middle left" if right else "middle right",
                mode="markers+text" if named else "markers",
                marker={"color": look.colour, "symbol": look.symbol, "size": 13},
                hovertemplate="%{x:.4g}, %{y:.3f}<extra>%{fullData.name}</extra>",
            )
        )
    figure = chart(traces, titles[0], None, titles[1], HEIGHT).update_layout(showlegend=not named)
    figure.update_xaxes(type="log" if logarithmic else "linear", range=limits, showgrid=True)
    return figure
