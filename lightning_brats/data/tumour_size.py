"""How large a case's tumour is, whatever a run makes of the case.

Splits are stratified by it. It must not hang on what runs of one comparison may set differently,
or they would be drawn different patients.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lightning_brats.data.case import Case, Volume
from lightning_brats.data.geometry import Geometry, rows
from lightning_brats.data.reading import read_mask


def tumour_ml(case: Case, volume: Volume) -> float | None:
    """Everything labelled, in ml, on the mask's own grid and before any crop.

    Args:
        case: Names the mask.
        volume: What was read of it, resampled or not.

    Returns:
        `None` without a mask.
    """
    if volume.mask is None:
        return None
    mask, affine = volume.mask, volume.affine
    if volume.native is not None and case.mask is not None:
        mask, affine = read_mask(case.mask, case.scheme, case.case)
    x, y, z = mask.shape
    whole = Geometry((x, y, z), rows(affine), ((0, x), (0, y), (0, z)))
    return _ml(int(np.count_nonzero(mask)), whole.spacing)


def stored_tumour_ml(meta: Mapping[str, Any], spacing: Sequence[float]) -> float | None:
    """`tumour_ml` of an entry's meta data; of one that lacks it, the nearest that it tells.

    Args:
        meta: Of the entry.
        spacing: Of the prepared volume, in mm.
    """
    if meta["voxels"] is None or "tumour_ml" in meta:
        return meta.get("tumour_ml")
    measured = meta["statistics"].get("tumour")
    if measured and meta["preprocess"].get("crop") is not None:
        return sum(measured["tissue_ml"].values())
    return _ml(sum(meta["voxels"]), spacing)


def _ml(voxels: int, spacing: Sequence[float]) -> float:
    return voxels * math.prod(spacing) / 1000
