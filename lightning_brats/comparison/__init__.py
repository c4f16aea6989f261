"""Which choice is better, by how much, and how sure that is."""

from lightning_brats.comparison.compare import compare
from lightning_brats.comparison.entries import load_entries
from lightning_brats.comparison.entry import Entry
from lightning_brats.comparison.result import Comparison
from lightning_brats.comparison.settings import Settings

__all__ = ["Comparison", "Entry", "Settings", "compare", "load_entries"]
