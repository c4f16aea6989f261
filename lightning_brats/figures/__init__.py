"""Pictures: slices of cases, learning curves, score distributions."""

from lightning_brats.figures.slices import case_panel
from lightning_brats.figures.style import REGION_COLOURS, save_png

__all__ = ["REGION_COLOURS", "case_panel", "save_png"]
