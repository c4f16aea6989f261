"""From probabilities to labels: thresholds, cleaning steps, composition, and their tuning."""

from lightning_brats.postprocess.morphology import Closing, FillHoles, Opening
from lightning_brats.postprocess.pipeline import (
    Head,
    Postprocess,
    bounding_box,
    region_probabilities,
)
from lightning_brats.postprocess.steps import DropSmall, Hierarchy, KeepLargest, ReplaceSmallET
from lightning_brats.postprocess.tuning import Grid, Tuned, TuningCase, tune

__all__ = [
    "Closing",
    "DropSmall",
    "FillHoles",
    "Grid",
    "Head",
    "Hierarchy",
    "KeepLargest",
    "Opening",
    "Postprocess",
    "ReplaceSmallET",
    "Tuned",
    "TuningCase",
    "bounding_box",
    "region_probabilities",
    "tune",
]
