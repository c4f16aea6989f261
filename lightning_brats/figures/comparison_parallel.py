"""Parallel coordinates: one line a run, through its settings to its score.

Drawn as plain lines, since Plotly's own parallel coordinates need WebGL, which not every browser
has, and do not print.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from lightning_brats.figures.interactive import chart
from lightning_brats.figures.style import GREY

LOGARITHMIC = 20.0
"""Ratio of largest to smallest from which an axis is logarithmic."""
SCALE = [[0.0, "#0072B2"], [0.5, GREY], [1.0, "#E69F00"]]
"""Lowest to highest score, with any colour vision, on white and on black."""
LABELLED = 6
HEIGHT = 420


class Axis(NamedTuple):
    """One setting: where each run crosses it, from 0 to 1, what is said of it, and its ticks."""

    places: list[float]
    texts: list[str]
    ticks: list[tuple[float, str]]


def parallel(
    settings: Mapping[str, Sequence[Any]], score: Sequence[float], label: str
) -> go.Figure:
    """Draw runs.

    Args:
        settings: Name → one value a run; numbers get an axis, anything else a place each.
        score: One a run.
        label: Of the score.
    """
    names = [*settings, label]
    axes = [axis(values) for values in (*settings.values(), score)]
    colours = sample_colorscale(SCALE, axes[-1].places)
    traces = [
        go.Scatter(
            x=list(range(len(axes))),
            y=[round(own.places[run], 4) for own in axes],
            mode="lines+markers",
            line={"color": colours[run], "width": 1.8},
            marker={"size": 5},
            text=["<br>".join(_said(names, axes, run))] * len(axes),
            hovertemplate="%{text}<extra></extra>",
        )
        for run in np.argsort(axes[-1].places)
    ]
    figure = chart(traces, None, [-0.06, 1.06], height=HEIGHT)
    for place, own in enumerate(axes):
        figure.add_vline(place, line_width=1, line_color=GREY, layer="below")
        for height, text in own.ticks:
            figure.add_annotation(
                x=place, y=height, text=escape(text), showarrow=False, xanchor="left", xshift=6
            )
    figure.update_yaxes(visible=False)
    return figure.update_xaxes(
        tickvals=list(range(len(axes))),
        ticktext=[f"<b>{escape(name)}</b>" for name in names],
        range=[-0.12, len(axes) - 0.72],
        side="top",
        showline=False,
    ).update_layout(margin={"l": 12, "r": 12, "t": 60, "b": 8}, hovermode="closest")


def axis(values: Sequence[Any]) -> Axis:
    """Places and ticks of a setting's values."""
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        levels = sorted({str(value) for value in values})
        step = 1 / max(len(levels) - 1, 1)
        places = {level: step * place for place, level in enumerate(levels)}
        texts = [str(value) for value in values]
        return Axis([places[text] for text in texts], texts, [(p, t) for t, p in places.items()])
    numbers = np.array(values, float)
    logarithmic = numbers.min() > 0 and numbers.max() / numbers.min() >= LOGARITHMIC
    scaled = np.log10(numbers) if logarithmic else numbers
    low, span = scaled.min(), np.ptp(scaled) or 1.0
    different = np.unique(scaled)
    marked = different if len(different) <= LABELLED else np.linspace(low, low + span, 5)
    ticks = [
        (float((tick - low) / span), f"{10**tick if logarithmic else tick:.3g}") for tick in marked
    ]
    texts = [f"{number:.4g}" for number in numbers]
    return Axis(((scaled - low) / span).tolist(), texts, ticks)


def _said(names: Sequence[str], axes: Sequence[Axis], run: int) -> Iterator[str]:
    return (
        f"{escape(name)}: {escape(own.texts[run])}" for name, own in zip(names, axes, strict=True)
    )
