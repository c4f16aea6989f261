"""Colours and habits that every picture of the product shares.

The palette is the one of Okabe and Ito (2008), made to be told apart with any colour vision. The
same region has the same colour on slices, in charts, in reports and in the app.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from matplotlib.figure import Figure

REGION_COLOURS: Mapping[str, str] = MappingProxyType(
    {
        "WT": "#56B4E9",
        "TC": "#E69F00",
        "ET": "#D55E00",
        "RC": "#CC79A7",
        "NETC": "#009E73",
        "SNFH": "#0072B2",
    }
)
"""Region → colour, as `#RRGGBB`."""

REGION_SYMBOLS: Mapping[str, str] = MappingProxyType(
    {"WT": "o", "TC": "s", "ET": "D", "RC": "^", "NETC": "v", "SNFH": "P"}
)
"""Region → Matplotlib marker, so that no chart depends on colour alone."""

AGREEMENT, MISSED, FALSE = "#B9BEC7", "#F0E442", "#0072B2"
"""Voxels in both masks, in the reference alone, in the prediction alone."""

INK, BLACK, WHITE, GREY = "#20242C", "#000000", "#F2F4F8", "#8D96A5"


def save_png(figure: Figure, path: Path, dpi: int = 130) -> Path:
    """Write the figure with its own background, making the folder if there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=dpi, facecolor=figure.get_facecolor())
    return path
