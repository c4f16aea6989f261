"""How each choice of a comparison looks, the same in every chart and table of its page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9")
"""Okabe and Ito's palette without yellow, which white paper swallows."""
SYMBOLS = (
    ("circle", "●"),
    ("square", "■"),
    ("diamond", "◆"),
    ("triangle-up", "▲"),
    ("triangle-down", "▼"),
    ("star", "★"),
    ("hexagon", "⬢"),
)
"""Plotly's name, and the character that stands for it in texts."""
DASHES = ("solid", "dash", "dot", "dashdot")


class Look(NamedTuple):
    """Colour, symbol and dash: no chart depends on colour alone."""

    colour: str
    symbol: str
    mark: str
    dash: str


def looks(choices: Sequence[str]) -> dict[str, Look]:
    """Choice → its look; colours repeat after six, symbols after seven: 42 looks in all."""
    return {
        choice: Look(
            COLOURS[place % len(COLOURS)],
            *SYMBOLS[place % len(SYMBOLS)],
            DASHES[place // len(COLOURS) % len(DASHES)],
        )
        for place, choice in enumerate(choices)
    }
