"""Experiment suite for brain-tumour segmentation on multi-modal MRI (BraTS)."""

from __future__ import annotations

import importlib
import os
from typing import Any

__version__ = "0.1.0"

# Volumes are large: huge pages spare torch's CPU allocator most page faults.
# Read when torch is loaded, hence here.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

_HOMES = {
    "BratsDataModule": "lightning_brats.data.datamodule",
    "QueueSettings": "lightning_brats.data.queue",
    "SegmentationTask": "lightning_brats.task",
    "UNet": "lightning_brats.models",
    "FCNN": "lightning_brats.models",
    "SlidingWindow": "lightning_brats.inference",
    "load_cases": "lightning_brats.data.sources",
    "load_table": "lightning_brats.data.sources",
    "score_case": "lightning_brats.metrics",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    """Import the public names when they are used: commands must answer before torch is loaded."""
    if name not in _HOMES:
        raise AttributeError(f"module 'lightning_brats' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)
