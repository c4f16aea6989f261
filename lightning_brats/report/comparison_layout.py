"""Places of marks in a comparison's vector graphics, which need no script and print sharply."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from lightning_brats.report.wording import number

STRIP = 300.0
"""Length of a strip's axis in its own units."""
LETTER = 7.6
"""Width of a letter of the diagram, about."""
AXIS, ROW, BAR = 340.0, 23.0, 10.0
"""Length of the diagram's axis, and heights of a name's row and of a group's bar."""


@dataclass(frozen=True)
class Strip:
    """A short axis under the rows of a table.

    Args:
        low: Value at its left end.
        high: Value at its right end.
        ticks: Places and labels.
    """

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]

    @classmethod
    def around(cls, values: Sequence[float], zero: bool = False) -> Strip:
        """An axis that holds all finite values, and 0 if asked for, with round ticks."""
        known = [float(v) for v in values if math.isfinite(v)] + ([0.0] if zero else [])
        low, high = (min(known), max(known)) if known else (0.0, 1.0)
        margin = 0.06 * (high - low) or 0.5 * abs(high) or 0.5
        low, high = low - margin, high + margin
        found = MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
        places = next((d for d in range(5) if np.allclose(found, np.round(found, d), 0, 1e-9)), 5)
        own = cls(low, high, ())
        inside = [float(tick) for tick in found if low <= tick <= high]
        return cls(low, high, tuple((own.place(t), number(t, places)) for t in inside))

    def place(self, value: float) -> float:
        """Where a value lies; values beyond the ends lie at the ends."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(STRIP * share, 1)

    def bar(self, low: float, middle: float, high: float) -> tuple[float, float, float] | None:
        """Places of an interval; `None` where its middle is unknown or infinite."""
        if not math.isfinite(middle):
            return None
        ends = (middle if math.isnan(end) else end for end in (low, high))
        first, last = (self.place(end) for end in ends)
        return first, self.place(middle), last


def critical_diagram(critical: Mapping[str, Any], choices: Sequence[str]) -> dict[str, Any]:
    """Critical-difference diagram of mean ranks, after Demšar (2006), best on the left.

    Args:
        critical: `ranks` (choice → mean rank), `cd`, `groups` (choices not told apart).
        choices: Whose names are written.

    Returns:
        `width`, `height`, `axis` (y), `ticks`, `difference` (ends of the bar of length `cd`),
        `bars` (x, x, y) and `names`: one a choice, with its line's corners and its text.
    """
    ranks = {name: float(critical["ranks"][name]) for name in choices if name in critical["ranks"]}
    ordered = sorted(ranks, key=lambda name: ranks[name])
    count = len(ordered)
    side = 30 + LETTER * max(len(name) for name in ordered) + 44
    axis = 62.0

    def place(rank: float) -> float:
        return round(side + AXIS * (rank - 1) / max(count - 1, 1), 1)

    groups = [[ranks[name] for name in group if name in ranks] for group in critical["groups"]]
    spans = [(min(group), max(group)) for group in groups if len(group) > 1]
    bars = [
        (place(low) - 5, place(high) + 5, round(axis + 13 + BAR * number_, 1))
        for number_, (low, high) in enumerate(spans)
    ]
    top = axis + 13 + BAR * len(spans) + 14
    half = math.ceil(count / 2)
    # The outermost choice of each side has the highest row, so that no lines cross.
    rows = [*range(half), *reversed(range(count - half))]
    names = [
        {
            "name": name,
            "rank": number(ranks[name], 2),
            "x": place(ranks[name]),
            "y": round(top + ROW * row, 1),
            "left": order < half,
        }
        for order, (name, row) in enumerate(zip(ordered, rows, strict=True))
    ]
    length = float(critical["cd"]) * AXIS / max(count - 1, 1)
    return {
        "width": round(2 * side + AXIS),
        "height": round(top + ROW * half),
        "side": round(side, 1),
        "end": round(side + AXIS, 1),
        "axis": axis,
        "ticks": [(place(rank), str(rank)) for rank in range(1, count + 1)],
        "difference": (side, round(side + length, 1)) if np.isfinite(length) else None,
        "bars": bars,
        "names": names,
    }
