"""How far, and which way, predicted surfaces lie from those of the reference.

Shapes: `b` bins of 1 mm around whole numbers, the outer ones open.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure

from lightning_brats.figures.interactive import SYMBOLS, chart
from lightning_brats.figures.plots import tidy
from lightning_brats.figures.style import GREY, INK, REGION_COLOURS
from lightning_brats.labels import REGION_NAMES

LIMITS = (5, 10, 15, 20)
"""Ends of the axis in mm; what is beyond is added to the last bin."""
BEYOND = 0.05
"""Share of a region's surface that a longer axis must bring apart, else it stays short."""
DISTANCE = "signed distance between the surfaces (mm)"
SHARE = "share of the surface (%)"
SIDES = ("◂ prediction too small", "prediction too large ▸")


def profile_chart(profiles: Mapping[str, np.ndarray]) -> go.Figure:
    """Share of each region's surface by signed distance, for pages.

    Args:
        profiles: Region → (b,) shares that add up to 1.
    """
    limit, shown = _folded(profiles)
    ticks, names = _ticks(limit)
    # One more point at either end, without a symbol: the last bars are as wide as the others.
    places = [-limit, *range(-limit, limit + 1), limit]
    lines = [
        go.Scatter(
            x=[-limit - 0.5, *places[1:-1], limit + 0.5],
            y=100 * np.pad(values, 1, mode="edge"),
            customdata=places,
            name=region,
            mode="lines+markers",
            line={"color": REGION_COLOURS[region], "width": 2, "shape": "hvh"},
            marker={"symbol": SYMBOLS[region], "size": [0, *[5] * (2 * limit + 1), 0]},
            hovertemplate=f"{REGION_NAMES[region]}, %{{customdata}} mm: %{{y:.1f}} %"
            "<extra></extra>",
        )
        for region, values in shown.items()
    ]
    figure = chart(lines, DISTANCE, None, SHARE, height=340)
    figure.update_layout(showlegend=True)
    figure.update_xaxes(tickvals=ticks, ticktext=names, range=[-limit - 0.6, limit + 0.6])
    figure.update_yaxes(range=[0, 115 * _highest(shown)])  # room for the words at the top
    figure.add_vline(0, line_dash="dot", line_width=1.5, line_color=GREY)
    for text, x, anchor in zip(SIDES, (0, 1), ("left", "right"), strict=True):
        figure.add_annotation(
            x=x, y=1, xref="paper", yref="paper", text=text, showarrow=False, xanchor=anchor
        )
    return figure


def profile_still(profiles: Mapping[str, np.ndarray]) -> Figure:
    """The same as a still picture, for papers and for paper."""
    limit, shown = _folded(profiles)
    figure = Figure(figsize=(7, 3.8), layout="constrained")
    axes = figure.subplots()
    edges = np.arange(-limit - 0.5, limit + 1)
    for region, values in shown.items():
        label = f"{region} {REGION_NAMES[region]}"
        axes.stairs(100 * values, edges, color=REGION_COLOURS[region], linewidth=1.8, label=label)
    axes.axvline(0, color=GREY, linewidth=1.2, linestyle=":")
    axes.set_xticks(*_ticks(limit))
    axes.set(xlabel=DISTANCE, ylabel=SHARE, xlim=(-limit - 0.6, limit + 0.6))
    axes.set_ylim(0, 115 * _highest(shown))
    axes.legend(frameon=False, fontsize=9, loc="upper right", bbox_to_anchor=(1, 0.93))
    for text, x, side in zip(
        ("too small", "too large"), (0.01, 0.99), ("left", "right"), strict=True
    ):
        axes.text(x, 0.99, text, transform=axes.transAxes, ha=side, va="top", color=INK, fontsize=9)
    tidy(axes)
    return figure


def _folded(profiles: Mapping[str, np.ndarray]) -> tuple[int, dict[str, np.ndarray]]:
    """The shortest axis that shows what there is to see, and the profiles along it.

    What lies in the open bins stays together on any axis, and does not count.
    """

    def lost(values: np.ndarray, limit: int) -> float:
        cut = (len(values) - 1) // 2 - limit
        return float(values[1 : cut + 1].sum() + values[len(values) - cut - 1 : -1].sum())

    fitting = (n for n in LIMITS if all(lost(v, n) <= BEYOND for v in profiles.values()))
    limit = next(fitting, LIMITS[-1])
    return limit, {region: _fold(values, limit) for region, values in profiles.items()}


def _highest(profiles: Mapping[str, np.ndarray]) -> float:
    return max(float(values.max()) for values in profiles.values())


def _fold(values: np.ndarray, limit: int) -> np.ndarray:
    """(2 · limit + 1,) shares from (b,), what lies beyond added to the last ones."""
    cut = (len(values) - 1) // 2 - limit
    out = values[cut : len(values) - cut].copy()
    out[0] += values[:cut].sum()
    out[-1] += values[len(values) - cut :].sum()
    return out


def _ticks(limit: int) -> tuple[list[int], list[str]]:
    step = 1 if limit <= 5 else 2 if limit <= 10 else 5
    places = [place for place in range(-limit, limit + 1) if place % step == 0]
    names = [str(place).replace("-", "−") for place in places]
    return places, [f"≤ {names[0]}", *names[1:-1], f"≥ {names[-1]}"]
