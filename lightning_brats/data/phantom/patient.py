"""One examination of one made-up patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lightning_brats.data.phantom.anatomy import make_anatomy
from lightning_brats.data.phantom.contrast import make_contrasts
from lightning_brats.data.phantom.fields import Grid, resample
from lightning_brats.data.phantom.plan import kind_of, plan_tumour
from lightning_brats.data.phantom.scanner import STANDARD, Scanner, acquire
from lightning_brats.data.phantom.tumour import grow_tumour, oedema_field

PREOP_EXTENT = (240.0, 240.0, 155.0)  # mm: BraTS up to 2023
POSTOP_EXTENT = (182.0, 218.0, 182.0)  # mm: BraTS 2024
_COARSE = 3.0  # mm; plans are made here whatever the voxels wanted

_BRAIN, _PLACE, _FRONT, _SHAPE, _SIGNAL, _SCAN = range(6)  # random streams of a patient


@dataclass(frozen=True)
class PhantomCase:
    """One examination.

    Args:
        image: (C, X, Y, Z) int16 in the order of `labels.MODALITIES`; 0 outside the brain alone.
        mask: (X, Y, Z) uint8 internal labels.
        affine: (4, 4) voxel → RAS+ mm; the arrays run left, posterior, superior.
        patient: Identifier.
        grade: `HGG` or `LGG`.
    """

    image: np.ndarray
    mask: np.ndarray
    affine: np.ndarray
    patient: str
    grade: str


def make_case(
    index: int,
    seed: int = 0,
    spacing: float = 2.0,
    postop: bool = False,
    scanner: Scanner = STANDARD,
    visit: int = 0,
) -> PhantomCase:
    """Make one examination, a function of the arguments alone.

    Args:
        index: Patient.
        seed: Of the data set.
        spacing: Edge of a voxel in mm; 1 gives the grids of BraTS.
        postop: On the grid of BraTS 2024 and after surgery; one patient in six had a biopsy alone.
        scanner: What measures.
        visit: Counts examinations of the patient.
    """
    extent = POSTOP_EXTENT if postop else PREOP_EXTENT
    full, coarse = Grid(extent, spacing), Grid(extent, _COARSE)
    kind, resected = kind_of(index), postop and index % 6 != 5
    healthy = make_anatomy(coarse, (seed, index, _BRAIN))
    plan = plan_tumour(kind, coarse, healthy, (seed, index, _PLACE), visit, resected)
    pushed = make_anatomy(coarse, (seed, index, _BRAIN), plan.mass)
    passed = oedema_field(plan, coarse, pushed, (seed, index, _FRONT))

    box = full.around(pushed.brain, coarse, margin=2 * _COARSE)
    anatomy = make_anatomy(box, (seed, index, _BRAIN), plan.mass)
    tumour = grow_tumour(plan, box, anatomy, resample(passed, coarse, box), (seed, index, _SHAPE))
    signals = make_contrasts(box, anatomy, tumour, (seed, index, _SIGNAL, visit), scanner.contrast)
    measured = acquire(signals, box, anatomy.brain, (seed, index, _SCAN, visit), scanner)

    image = np.zeros((len(measured), *full.shape), np.int16)
    mask = np.zeros(full.shape, np.uint8)
    image[(slice(None), *box.window)] = measured
    mask[box.window] = tumour.mask
    return PhantomCase(image, mask, full.affine, f"{index:05d}", kind.grade)
