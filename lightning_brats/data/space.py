"""How much disk prepared cases will take, told from headers before any volume is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import nibabel as nib
import numpy as np

from lightning_brats.data.case import Case
from lightning_brats.data.entry import MAX_COORDINATES
from lightning_brats.labels import TISSUES

SAMPLE = 32
"""Cases whose headers are read."""
BRAIN_BOX_MM3 = 4_500_000.0
"""Room for the box around a large adult's brain (150 × 190 × 160 mm), which entries are cut to."""


def estimated_bytes(cases: Sequence[Case], spacing: float | None = None) -> int:
    """Bytes that the cases' entries will take at most, headers of a sample taken for all.

    Args:
        cases: To be prepared.
        spacing: Edge in mm of the voxels that volumes are resampled to, if they are.
    """
    step = max(1, len(cases) // SAMPLE)
    sizes = [size for case in cases[::step] if (size := _entry_bytes(case, spacing))]
    return round(fmean(sizes) * len(cases)) if sizes else 0


def counted(cases: int) -> str:
    """`1 case`, `2 cases`."""
    return f"{cases} case{'' if cases == 1 else 's'}"


def readable(count: float) -> str:
    """Bytes for people: `3 MB`, `1.2 GB`."""
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.5:
            return f"{count:.{1 if unit == 'GB' else 0}f} {unit}"
    return f"{count / 1000:.1f} TB"


def _entry_bytes(case: Case, spacing: float | None) -> float | None:
    first: Path = next(iter(case.images.values())).path
    try:
        image = nib.load(first)
        shape = np.array(image.shape[:3], np.float64)  # type: ignore[attr-defined]
        size = nib.affines.voxel_sizes(image.affine)  # type: ignore[attr-defined]
    except Exception:  # what is wrong with it is said when it is prepared
        return None
    if spacing is not None:
        shape, size = shape * size / spacing, np.full(3, spacing)
    voxels = min(float(shape.prod()), BRAIN_BOX_MM3 / float(size.prod()))
    coordinates = 6 * MAX_COORDINATES * (len(TISSUES) - 1)
    return voxels * (2 * len(case.images) + 1) + min(coordinates, 6 * voxels)
