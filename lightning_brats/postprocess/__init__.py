"""From probabilities to labels: thresholds, cleaning steps, composition, and their tuning.

There is no conditional random field among the steps: no maintained library offers one for volumes
without being compiled first.
"""

from lightning_brats.postprocess.morphology import Closing, FillHoles, Opening
from lightning_brats.postprocess.pipeline import (
    Head,
    Postprocess,
    bounding_box,
    region_probabilities,
)
from lightning_brats.postprocess.steps import DropSmall, Hierarchy, KeepLargest, ReplaceSmallET
from lightning_brats.postprocess.tuning import Grid, Tuned, TuningCase, near_tumour, tune

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
    "near_tumour",
    "region_probabilities",
    "tune",
]
