"""What the prediction command wrote beside its masks: predicted Dice, and probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from nibabel.processing import resample_from_to

from lightning_brats.data.case import Case
from lightning_brats.data.layouts.files import stem
from lightning_brats.data.nifti import read_nifti
from lightning_brats.data.reading import AFFINE_TOLERANCE, read_native
from lightning_brats.errors import DataError
from lightning_brats.evaluation.confidence import Calibrations, case_calibration, known_regions
from lightning_brats.evaluation.pairing import Pairing

TABLE = "predictions.csv"
COLUMN = "_predicted_dice"
MAP = "_probabilities.nii.gz"


@dataclass(frozen=True)
class SoftFiles:
    """What goes with a folder of masks.

    Args:
        regions: Of the table, which are the channels of the probabilities too.
        predicted: Case → region → predicted Dice.
        probabilities: Case → file (X, Y, Z, R); only of the cases that have one.
    """

    regions: tuple[str, ...]
    predicted: Mapping[str, Mapping[str, float]]
    probabilities: Mapping[str, Path]


def soft_files(folder: Path, pairing: Pairing) -> SoftFiles | None:
    """Read `predictions.csv` and look for `<case>_probabilities.nii.gz`.

    Args:
        folder: Of the masks.
        pairing: Whose masks they are.

    Returns:
        `None` where the folder has no table with predicted Dice, so that the channels of
        probabilities would have no names either.

    Raises:
        DataError: The table cannot be read.
    """
    path = folder / TABLE
    if not path.is_file():
        return None
    try:
        table = pd.read_csv(path, dtype={"case": str}, keep_default_na=False, na_values=[""])
    except (ValueError, OSError) as error:
        raise DataError(
            f"the table cannot be read ({error})", file=path, remedy="predict again, or remove it"
        ) from error
    regions = known_regions(list(table.columns), COLUMN)
    if not regions or "case" not in table:
        return None
    rows = table.set_index("case")[[region + COLUMN for region in regions]].set_axis(
        regions, axis=1
    )
    predicted, maps = {}, {}
    for case, mask in pairing.files.items():
        name = None if mask is None else stem(mask.name)
        if mask is None or name not in rows.index:
            continue
        predicted[case] = {region: float(rows.loc[name, region]) for region in regions}  # type: ignore
        soft = mask.with_name(f"{name}{MAP}")
        if soft.is_file():
            maps[case] = soft
    return SoftFiles(tuple(regions), predicted, maps)


def measure_calibration(
    case: Case,
    path: Path,
    regions: tuple[str, ...],
    reference: np.ndarray,
    affine: np.ndarray,
    resample: bool = False,
) -> Calibrations:
    """Calibration of a case's probabilities, in its brain where it has images.

    Args:
        case: Its images tell the brain.
        path: Probabilities (X, Y, Z, R).
        regions: R names.
        reference: (X, Y, Z) internal labels.
        affine: The reference's.
        resample: Bring the probabilities onto the reference's grid (linear).

    Raises:
        DataError: The file is unreadable or on another grid, or the images are.
    """
    soft, own = read_nifti(path, case.case)
    if soft.ndim != 4 or soft.shape[3] != len(regions):
        raise DataError(
            f"the probabilities have shape {soft.shape}, expected one channel each for "
            f"{', '.join(regions)}",
            case=case.case,
            file=path,
            remedy=f"predict again, or remove the file: {TABLE} is not of the same prediction",
        )
    channels = list(np.moveaxis(soft, 3, 0))
    if soft.shape[:3] != reference.shape or np.abs(own - affine).max() > AFFINE_TOLERANCE:
        if not resample:
            raise DataError(
                f"the probabilities are not on the reference's grid {reference.shape}",
                case=case.case,
                file=path,
                remedy="set resample=true, or remove the file",
            )
        grid = (reference.shape, affine)
        channels = [
            np.asanyarray(resample_from_to(nib.Nifti1Image(c, own), grid, order=1).dataobj)
            for c in channels
        ]
    return case_calibration(channels, reference, regions, _brain(case, reference.shape))


def _brain(case: Case, shape: tuple[int, ...]) -> np.ndarray | None:
    if not case.images:
        return None
    brain = read_native(case).brain
    if brain.shape != shape:
        raise DataError(
            f"the images have shape {brain.shape}, the reference {shape}",
            case=case.case,
            file=case.mask,
            remedy="bring the case's files onto one grid",
        )
    return brain
