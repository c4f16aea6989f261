"""The scans of one case, each on its own grid, and how they lie to one of them: the centre.

World coordinates are RAS+ mm, of each modality and of the centre. Shapes: `X Y Z` voxels of a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from lightning_brats.data.case import Case
from lightning_brats.data.geometry import interpolate_labels
from lightning_brats.data.nifti import read_nifti
from lightning_brats.data.raw.intensity import denoise
from lightning_brats.data.raw.quality import POOR
from lightning_brats.data.raw.registration import Alignment, register
from lightning_brats.data.raw.scan import Scan
from lightning_brats.data.raw.steps import RawSteps
from lightning_brats.data.reading import AFFINE_TOLERANCE, read_images, read_mask
from lightning_brats.errors import ConfigError, DataError

MOST_MM = 20.0
"""No slice is thicker: what says so has a broken header."""

LEAST_VOXELS = 4
"""Along an axis: a scout or a single slice is not a volume."""

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Labels:
    """A segmentation or brain mask on its own grid.

    Args:
        data: (X, Y, Z) integers or bool.
        affine: (4, 4) voxel → its world.
        matrix: (4, 4) world of the centre → its world.
    """

    data: np.ndarray
    affine: np.ndarray
    matrix: np.ndarray

    def at(self, shape: Shape, affine: np.ndarray, world: np.ndarray) -> np.ndarray:
        """On another grid; `world` leads from that grid's coordinates to the centre's."""
        matrix = np.linalg.inv(self.affine) @ self.matrix @ world @ affine
        return interpolate_labels(self.data, matrix, shape)


@dataclass(frozen=True)
class Exam:
    """What was read and registered.

    Args:
        case: Where it comes from.
        scans: Modality → scan, denoised where that was asked for.
        centre: The modality that stays in place.
        alignments: Modality → how it lies in the centre's space.
    """

    case: Case
    scans: Mapping[str, Scan]
    centre: str
    alignments: Mapping[str, Alignment]

    @property
    def warnings(self) -> list[str]:
        """Registrations that cannot be trusted."""
        return [
            f"registration of {modality} to {self.centre} is poor "
            f"(quality {found.quality:.2f}, below {POOR})"
            for modality, found in self.alignments.items()
            if found.quality < POOR
        ]

    def placed(self, data: np.ndarray, affine: np.ndarray) -> Labels:
        """A mask that was drawn on a modality's grid moves as that modality does, else stays."""
        names = [self.centre, *self.scans]
        owner = next((n for n in names if _same_grid(self.scans[n], data, affine)), self.centre)
        return Labels(data, affine, self.alignments[owner].matrix)

    def mask(self) -> Labels | None:
        """The reference segmentation."""
        if self.case.mask is None:
            return None
        return self.placed(*read_mask(self.case.mask, self.case.scheme, self.case.case))

    def given_brain(self) -> Labels:
        """The brain mask that comes with the case."""
        assert self.case.brain is not None
        data, affine = read_nifti(self.case.brain, self.case.case)
        if data.ndim != 3:
            raise DataError(
                f"the brain mask has {data.ndim} dimensions, expected 3",
                case=self.case.case,
                file=self.case.brain,
                remedy="give one 3-D volume",
            )
        return self.placed(data > 0.5, affine)


def read_exam(case: Case, steps: RawSteps) -> Exam:
    """Read, check, denoise and register.

    Raises:
        DataError: A scan cannot be used.
        ConfigError: The modality in the centre is not among the case's.
    """
    centre = centre_of(case.case, list(case.images), steps)
    scans = {}
    for modality, data, affine in read_images(case):
        scan = Scan(data, affine)
        check_scan(scan, modality, case.case, case.images[modality].path)
        if steps.denoise:
            scan = denoise(scan, steps.denoise, steps.strength)
        scans[modality] = scan
    same = Alignment(np.eye(4), 1.0)
    alignments = {
        modality: register(scans[centre], scan) if steps.register and modality != centre else same
        for modality, scan in scans.items()
    }
    return Exam(case, scans, centre, alignments)


def centre_of(case: str, modalities: Sequence[str], steps: RawSteps) -> str:
    """The modality that others are registered to.

    Raises:
        ConfigError: The case does not have it.
    """
    if steps.center not in modalities:
        raise ConfigError(
            f"preprocess.raw.center={steps.center} is not among the modalities "
            f"{', '.join(modalities)}",
            case=case,
            remedy=f"name one of them, e.g. preprocess.raw.center={modalities[0]}",
        )
    return steps.center


def check_scan(scan: Scan, modality: str, case: str, file: Path) -> None:
    """Raise `DataError` where a scan is no volume or its header cannot be true."""
    if min(scan.data.shape) < LEAST_VOXELS:
        raise DataError(
            f"{modality} is {'×'.join(map(str, scan.data.shape))} voxels: a slice, not a volume",
            case=case,
            file=file,
            remedy="give the whole series, or train without this modality",
        )
    sizes = ", ".join(f"{size:.3g}" for size in scan.spacing)
    broken = not np.isfinite(scan.affine).all() or abs(np.linalg.det(scan.affine[:3, :3])) < 1e-6
    if broken or scan.spacing.max() > MOST_MM:
        raise DataError(
            f"{modality} has voxels of {sizes} mm: the header cannot be true",
            case=case,
            file=file,
            remedy=f"correct the header (0 to {MOST_MM:g} mm), or convert the scan again",
        )
    if scan.data.min() == scan.data.max():
        raise DataError(
            f"{modality} is {scan.data.flat[0]:g} everywhere",
            case=case,
            file=file,
            remedy="restore the file, or exclude the case",
        )


def isotropic(scan: Scan, edge: float) -> tuple[Shape, np.ndarray]:
    """A grid of cubes over a scan's field of view, its axes near right, anterior, superior.

    Returns:
        Its shape (X, Y, Z), and its (4, 4) voxel → the scan's world.
    """
    orientation = nib.orientations.io_orientation(scan.affine)
    turn = nib.orientations.inv_ornt_aff(orientation, scan.data.shape)
    affine = scan.affine @ turn
    order = np.argsort(orientation[:, 0])
    sizes = scan.spacing[order]
    extent = np.asarray(scan.data.shape)[order] * sizes
    x, y, z = (max(1, round(length / edge)) for length in extent)
    scaled = affine.copy()
    scaled[:3, :3] = affine[:3, :3] / sizes * edge
    # Both grids have the same middle.
    middle = (np.asarray(scan.data.shape)[order] - 1) / 2
    scaled[:3, 3] += affine[:3, :3] @ middle - scaled[:3, :3] @ ((np.array([x, y, z]) - 1) / 2)
    return (x, y, z), scaled


def _same_grid(scan: Scan, data: np.ndarray, affine: np.ndarray) -> bool:
    close = np.abs(scan.affine - affine).max() <= AFFINE_TOLERANCE
    return scan.data.shape == data.shape and bool(close)
