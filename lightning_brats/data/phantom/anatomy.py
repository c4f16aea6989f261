"""A patient's healthy brain: the MNI152 tissue maps, warped.

The maps (ICBM 2009a symmetric; Fonov et al., NeuroImage 2011) come with nilearn; nothing is
downloaded. Each patient gets an affine map, three octaves of elastic deformation, wider or narrower
ventricles and sulci, and where there is a tumour a lens that pushes tissue away from it.
Shapes: `X Y Z` voxels of the grid asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from nilearn import datasets
from scipy import ndimage

from lightning_brats.data.phantom.fields import Grid, smooth_field, squared_distance

_CENTRE = (98.0, 117.0, 77.0)  # middle of the brain in the template, voxels of 1 mm
_VENTRICLES = (0.0, -3.0, 8.0)  # patient coordinates in mm
_OUTLINE = (0.37, 0.5)  # level of the blurred head: below a half, a film of CSF stays
_OCTAVES = ((3.8, 60.0), (1.7, 24.0), (0.7, 11.0))  # elastic deformation: amplitude, wavelength, mm


@dataclass(frozen=True)
class Lens:
    """Tissue pushed away from a point: mass effect, or ventricles that are wider.

    Args:
        centre: Patient coordinates in mm.
        strength: Part of the distance that is displaced at the centre, below 1.
        radius: Standard deviation of the displacement's reach in mm.
    """

    centre: tuple[float, float, float]
    strength: float
    radius: float


@dataclass(frozen=True)
class Anatomy:
    """The brain of one patient, arrays (X, Y, Z).

    Args:
        csf: Fraction of fluid, float32; the three fractions add up to 1 in the brain.
        grey: Fraction of grey matter.
        white: Fraction of white matter.
        brain: Whether a voxel is in the brain.
        edge: 1 on the surface of the brain, falling to 0 about 6 mm below it.
    """

    csf: np.ndarray
    grey: np.ndarray
    white: np.ndarray
    brain: np.ndarray
    edge: np.ndarray


def make_anatomy(grid: Grid, seed: Sequence[int], mass: Sequence[Lens] = ()) -> Anatomy:
    """The brain of one patient.

    Args:
        grid: Voxels wanted; the same seed gives the same brain on every grid.
        seed: Of the patient.
        mass: Mass effect. The skull does not give way, so the brain's outline stays as it is.
    """
    rng = np.random.default_rng(seed)
    grey_map, white_map, brain_map = _templates()
    matrix, shift = _affine(rng)
    widening = Lens(_VENTRICLES, rng.uniform(0.0, 0.35), 24.0)
    atrophy, outline = rng.uniform(0.3, 1.5), rng.uniform(*_OUTLINE)
    elastic = [_octaves(grid, rng) for _ in range(3)]
    head = _sample(brain_map, _coordinates(grid, elastic, (), matrix, shift))
    inside = _coordinates(grid, elastic, (widening, *mass), matrix, shift)
    grey, white = _sample(grey_map, inside), _sample(white_map, inside)
    csf = (1 + atrophy) * np.clip(1 - grey - white, 0, 1)
    # One person's cortex is crisper than the mean of 152: a power sharpens the soft borders.
    csf, grey, white = (part**1.7 for part in (csf, grey, white))
    brain = head > outline
    scale = brain / np.maximum(csf + grey + white, 1e-6)
    edge = np.where(brain, np.clip((1 - head) / (1 - outline), 0, 1), 0)
    return Anatomy(csf * scale, grey * scale, white * scale, brain, edge)


@lru_cache(maxsize=1)
def _templates() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Grey matter, white matter and a blurred head on the template's grid, as 0 to 255."""
    load = datasets.load_mni152_gm_template, datasets.load_mni152_wm_template
    grey, white = (np.asarray(image().dataobj, np.float32) for image in load)
    head = np.asarray(datasets.load_mni152_template().dataobj, np.float32) > 0  # with ventricles
    parts, _ = ndimage.label(head)
    head = parts == np.bincount(parts[head]).argmax()  # drops a stray piece of optic nerve
    blurred = ndimage.gaussian_filter(head.astype(np.float32), 3.0)
    return _bytes(grey), _bytes(white), _bytes(blurred)


def _bytes(fraction: np.ndarray) -> np.ndarray:
    return np.rint(255 * fraction).astype(np.uint8)


def _octaves(grid: Grid, rng: np.random.Generator) -> np.ndarray:
    """One component (X, Y, Z) of the elastic displacement in mm."""
    displacement = np.zeros(grid.shape, np.float32)
    for amplitude, wavelength in _OCTAVES:
        displacement += amplitude * smooth_field(grid, wavelength, rng)
    return displacement


def _affine(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Patient coordinates → template voxels: scaling, rotation of a few degrees, shift in mm."""
    scale = rng.uniform(1.01, 1.08) * rng.uniform(0.96, 1.04, 3) * (1, 1, 1.06)
    rotation = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(rng.normal(0, (3.0, 2.0, 2.0)))):
        i, j = (a for a in range(3) if a != axis)
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        rotation = rotation @ turn
    matrix, shift = rotation * scale, _CENTRE + rng.normal(0, 2.0, 3)
    return matrix.astype(np.float32), shift.astype(np.float32)


def _coordinates(
    grid: Grid,
    elastic: Sequence[np.ndarray],
    lenses: Sequence[Lens],
    matrix: np.ndarray,
    shift: np.ndarray,
) -> np.ndarray:
    """Template voxel (3, X, Y, Z) float32 that each voxel of the grid shows."""
    points = [axis + move for axis, move in zip(grid.axes, elastic, strict=True)]
    for lens in lenses:
        reach = np.exp(-squared_distance(grid, lens.centre) / (2 * lens.radius**2))
        for point, axis, c in zip(points, grid.axes, lens.centre, strict=True):
            point -= np.float32(lens.strength) * reach * (axis - c)
    x, y, z = points
    return np.stack(
        [m[0] * x + m[1] * y + m[2] * z + s for m, s in zip(matrix, shift, strict=True)]
    )


def _sample(volume: np.ndarray, coordinates: np.ndarray) -> np.ndarray:
    return ndimage.map_coordinates(volume, coordinates, np.float32, order=1) / 255
