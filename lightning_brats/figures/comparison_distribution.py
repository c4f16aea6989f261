"""Every case in every choice of a comparison, as a Plotly chart with one line a case."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.basedatatypes import BaseTraceType

from lightning_brats.figures.comparison_style import Look
from lightning_brats.figures.interactive import SHARES, chart
from lightning_brats.figures.plots import MINIMUM_FOR_BOX
from lightning_brats.figures.style import GREY

POINTS = 3000
"""Up to so many points and lines are drawn one by one; of more, the distribution alone."""
SLANTED = 6
"""Choices beyond which their names stand at an angle."""
DENSE = 100
"""Cases beyond which symbols are small."""
OUTLINED = 15
"""Values from which on an outline of their distribution says more than a box."""
HEIGHT = 420


def distribution(table: pd.DataFrame, metric: str, looks: Mapping[str, Look]) -> go.Figure:
    """Outlines of the distributions, and every case as points joined by a line.

    Infinite values cannot be drawn; their number stands under the choice's name. The last trace
    is empty: the page's script fills it with the case that is pointed at.

    Args:
        table: One row a case, one column a choice.
        metric: Whose values they are; the axis of a share ends at 1.
        looks: Of the choices.
    """
    values = table.to_numpy(float)
    finite = np.isfinite(values)
    # Beside their choice's middle, a case lies at the same place in every choice.
    shifts = np.random.default_rng(0).uniform(-0.1, 0.1, len(values)).round(3)
    # Plotly reads a few HTML tags in texts, and case names come from files.
    names = np.array([escape(str(case)) for case in table.index], dtype=object)
    few = values.size <= POINTS
    traces: list[BaseTraceType] = [_lines(values, shifts)] if few else []
    for place, choice in enumerate(table.columns):
        here, look = finite[:, place], looks[choice]
        own = values[here, place].round(4)
        traces += list(_outline(own, place, look))
        if few:
            points = _points(place + shifts[here], own, names[here])
            traces.append(points.update(name=escape(choice), marker=_marker(look, len(own))))
    traces.append(go.Scatter(x=[], y=[], mode="lines+markers", line_width=2.5, hoverinfo="skip"))
    figure = chart(traces, None, _limits(values[finite], metric), height=HEIGHT)
    slanted = table.shape[1] > SLANTED
    if slanted:
        figure.update_layout(
            margin_l=44 + 4 * len(str(table.columns[0]))
        )  # room for the first name
    infinite = np.isinf(values).sum(0)
    return figure.update_xaxes(
        tickvals=list(range(table.shape[1])),
        ticktext=[
            escape(choice) + (f"<br>{count} infinite" if count else "")
            for choice, count in zip(table.columns, infinite, strict=True)
        ],
        range=[-0.55, table.shape[1] - 0.45],
        tickangle=-35 if slanted else None,
        automargin=True,
    ).update_layout(hovermode="closest")


def _limits(values: np.ndarray, metric: str) -> list[float]:
    """Ends of the axis: small differences are seen, no outline is cut."""
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    margin = 0.06 * (high - low) or 0.05
    top = min(high + margin, 1.02) if metric in SHARES else high + margin
    return [max(low - margin, -0.02 * top), top]


def _lines(values: np.ndarray, shifts: np.ndarray) -> go.Scatter:
    """One trace for all cases, broken between them and where a value is infinite or missing."""
    places: list[float | None] = []
    heights: list[float | None] = []
    for row, shift in zip(values, shifts, strict=True):
        places += [*(round(place + float(shift), 3) for place in range(len(row))), None]
        heights += [*(round(float(v), 4) if np.isfinite(v) else None for v in row), None]
    return go.Scatter(
        x=places,
        y=heights,
        mode="lines",
        line={"color": GREY, "width": 1},
        opacity=min(0.5, max(0.12, 12 / max(len(values), 1))),
        hoverinfo="skip",
    )


def _outline(values: np.ndarray, place: int, look: Look) -> Iterator[BaseTraceType]:
    if MINIMUM_FOR_BOX <= values.size < OUTLINED:
        yield go.Box(
            x=[place] * values.size,
            y=values.tolist(),
            boxpoints=False,
            width=0.45,
            line={"color": look.colour, "width": 1.4},
            fillcolor=look.colour + "24",
            hoverinfo="skip",
        )
    elif values.size >= OUTLINED:
        yield go.Violin(
            x=[place] * values.size,
            y=values.tolist(),
            points=False,
            width=0.72,
            spanmode="hard",
            box={"visible": True, "width": 0.3},
            line={"color": look.colour, "width": 1.4},
            fillcolor=look.colour + "24",
            hoverinfo="skip",
        )


def _points(places: np.ndarray, values: np.ndarray, names: np.ndarray) -> go.Scatter:
    return go.Scatter(
        x=places.round(3).tolist(),
        y=values.tolist(),
        text=names.tolist(),
        mode="markers",
        hovertemplate="%{text}: %{y:.3f}<extra>%{fullData.name}</extra>",
    )


def _marker(look: Look, cases: int) -> dict[str, object]:
    size, opacity = (6, 0.8) if cases <= DENSE else (4, 0.55)
    return {"color": look.colour, "symbol": look.symbol, "size": size, "opacity": opacity}
