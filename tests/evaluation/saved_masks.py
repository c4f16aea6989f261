"""Cases and predictions on disk."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from conftest import LPS, write_case

from lightning_brats.data.case import Case
from lightning_brats.data.reading import write_mask


def three_cases(folder: Path) -> list[Case]:
    """Three cases, two of one patient, coded with ET as 4."""
    return [
        write_case(folder, f"P{p}-{t}", f"P{p}", seed=10 * p + t)
        for p, t in ((1, 1), (1, 2), (2, 1))
    ]


def mask_of(case: Case) -> np.ndarray:
    return case.scheme.decode(np.asanyarray(nib.load(case.mask).dataobj))


def save(folder: Path, name: str, case: Case, labels=None, affine=LPS) -> Path:
    """Write labels, by default the reference's own, in the case's coding."""
    path = folder / name
    write_mask(path, mask_of(case) if labels is None else labels, affine, case.scheme)
    return path
