"""One case from its files: scores, errors, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
from nibabel.processing import resample_from_to

from lightning_brats.data.case import Case
from lightning_brats.data.reading import AFFINE_TOLERANCE, read_mask
from lightning_brats.errors import DataError
from lightning_brats.evaluation.confidence import Calibrations
from lightning_brats.evaluation.errors import CaseErrors, case_errors
from lightning_brats.evaluation.soft import measure_calibration
from lightning_brats.metrics import score_case

Scores = dict[str, dict[str, float]]


class Job(NamedTuple):
    """A case's files: its prediction and, where there is one, the probabilities of that."""

    case: Case
    prediction: Path | None
    probabilities: Path | None


class Found(NamedTuple):
    """What a worker returns of a case."""

    scores: Scores
    errors: CaseErrors | None
    calibration: Calibrations | None


def examine_files(
    job: Job,
    protocol: str,
    regions: Sequence[str] | None,
    resample: bool,
    boundary: bool,
    names: tuple[str, ...],
) -> tuple[str, Found]:
    """Look at one case; `names` are the channels of its probabilities. See `examine`."""
    case, path, soft = job
    if case.mask is None:
        raise DataError(
            "there is no reference mask", case=case.case, remedy="add it, or drop the case"
        )
    reference, affine = read_mask(case.mask, case.scheme, case.case)
    prediction = np.zeros_like(reference)
    if path is not None:
        prediction = read_prediction(case, path, reference.shape, affine, resample)
    if regions is None:
        regions = case.scheme.regions if protocol == "legacy" else None
    sizes = nib.affines.voxel_sizes(affine)
    spacing = (float(sizes[0]), float(sizes[1]), float(sizes[2]))
    scores = score_case(reference, prediction, spacing, protocol, regions=regions)
    errors = case_errors(reference, prediction, spacing, list(scores)) if boundary else None
    calibration = None
    if soft is not None:
        calibration = measure_calibration(case, soft, names, reference, affine, resample)
    return case.case, Found(scores, errors, calibration)


def read_prediction(
    case: Case, path: Path, shape: tuple[int, ...], affine: np.ndarray, resample: bool
) -> np.ndarray:
    """Predicted labels on the reference's grid.

    Args:
        case: Whose prediction it is.
        path: The file.
        shape: Of the reference.
        affine: Of the reference.
        resample: Bring it onto that grid (nearest neighbour) where it lies on another.

    Raises:
        DataError: It is unreadable, in another coding, or on another grid and not to be moved.
    """
    labels, own = read_mask(path, case.scheme, case.case)
    if labels.shape == shape and np.abs(own - affine).max() <= AFFINE_TOLERANCE:
        return labels
    if resample:
        moved = resample_from_to(nib.Nifti1Image(labels, own), (shape, affine), order=0)
        return np.asanyarray(moved.dataobj).astype(np.uint8)
    problem = (
        f"the prediction has shape {labels.shape}, the reference {shape}"
        if labels.shape != shape
        else f"the affines of prediction and reference differ by {np.abs(own - affine).max():.3g}"
    )
    raise DataError(
        problem,
        case=case.case,
        file=path,
        remedy="write the prediction on the input's own grid, or set resample=true "
        "(nearest neighbour)",
    )
