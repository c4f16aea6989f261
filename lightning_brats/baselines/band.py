"""Redrawing the border of a mask: which voxels around it are in doubt, and what decides them.

Shapes: `x y z` a prepared, cropped volume.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import cc3d
import edt
import numpy as np
from scipy import ndimage
from skimage.segmentation import random_walker

from lightning_brats.postprocess import bounding_box
from lightning_brats.postprocess.steps import Spacing

INSIDE, OUTSIDE, IN_DOUBT, APART = 1, 2, 0, -1
INNERMOST = 0.7
"""Share of a component's depth beyond which its voxels are kept."""


@dataclass(frozen=True)
class Band:
    """A mask with its surroundings, cut out of the volume.

    Args:
        box: Where it was cut.
        marks: (a, b, c) int: `INSIDE`, `OUTSIDE`, `IN_DOUBT`, or `APART`: too far away to matter.
        spacing: Voxel size in mm.
    """

    box: tuple[slice, ...]
    marks: np.ndarray
    spacing: tuple[float, ...]

    @classmethod
    def around(cls, mask: np.ndarray, brain: np.ndarray, mm: float, spacing: Spacing) -> Band:
        """Doubt everything no farther than so many mm from the mask's surface.

        Args:
            mask: (x, y, z) bool, not empty.
            brain: (x, y, z) bool; nothing outside it is ever inside.
            mm: Half the width of the band; a voxel at least.
            spacing: Voxel size in mm.
        """
        mm = max(mm, *spacing)
        found = bounding_box(mask)
        assert found is not None
        room = [int(2 * mm / size) + 2 for size in spacing]
        box = tuple(
            slice(max(part.start - n, 0), part.stop + n)
            for part, n in zip(found, room, strict=True)
        )
        mask, brain = mask[box], brain[box]
        sizes = tuple(float(size) for size in spacing)
        depth = edt.edt(mask, anisotropy=sizes)
        away = edt.edt(~mask, anisotropy=sizes)
        marks = np.full(mask.shape, IN_DOUBT, np.int32)
        marks[mask & (depth > _limits(mask, depth, mm))] = INSIDE
        marks[away > mm] = OUTSIDE
        marks[away > 2 * mm] = APART
        marks[~brain & (marks != APART)] = OUTSIDE
        return cls(box, marks, sizes)

    def put(self, inside: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """(x, y, z) bool of what was decided in the cut (a, b, c)."""
        out = np.zeros(shape, bool)
        out[self.box] = inside
        return out


def _limits(mask: np.ndarray, depth: np.ndarray, mm: float) -> np.ndarray:
    """(a, b, c) depth in mm beyond which a voxel of the mask is not in doubt."""
    found, count = cc3d.connected_components(mask, connectivity=26, return_N=True)
    deepest = ndimage.maximum(depth, found, np.arange(count + 1))
    return np.minimum(mm, INNERMOST * np.asarray(deepest))[found]


def grow(band: Band, channel: np.ndarray) -> np.ndarray:
    """Doubtful voxels go to the side whose mean they are nearer to, if connected with the inside.

    Seeded region growing (Adams and Bischof, IEEE Trans. PAMI 16:641, 1994) with two regions.

    Args:
        band: What is in doubt.
        channel: (x, y, z) intensities.

    Returns:
        (a, b, c) bool.
    """
    values = channel[band.box]
    inner, outer = band.marks == INSIDE, band.marks == OUTSIDE
    doubtful = band.marks == IN_DOUBT
    if not (inner.any() and outer.any()):
        return inner | doubtful
    nearer = np.abs(values - values[inner].mean()) < np.abs(values - values[outer].mean())
    return ndimage.binary_propagation(inner, mask=inner | (doubtful & nearer))


def walk(band: Band, channel: np.ndarray, beta: float) -> np.ndarray:
    """Doubtful voxels go to the side that a random walk from them reaches first.

    Grady, "Random walks for image segmentation", IEEE Trans. PAMI 28:1768, 2006, by scikit-image. A
    step is less likely by the square of its length, as in diffusion.

    Args:
        band: What is in doubt.
        channel: (x, y, z) intensities.
        beta: How much edges hold a walk up.

    Returns:
        (a, b, c) bool.
    """
    inner, doubtful = band.marks == INSIDE, band.marks == IN_DOUBT
    if not (inner.any() and (band.marks == OUTSIDE).any() and doubtful.any()):
        return inner | doubtful
    data, beta = _with_lengths(channel[band.box], band.spacing, beta)
    with warnings.catch_warnings():
        # Across strong edges a walk is so unlikely that the solver's probabilities are off by more
        # than it wants; which side is reached first is plain there.
        warnings.filterwarnings("ignore", "The probability range is outside")
        found = random_walker(data, band.marks, beta=beta, mode="cg_j", tol=1e-4, channel_axis=-1)
    return found == INSIDE


def _with_lengths(
    values: np.ndarray, spacing: tuple[float, ...], beta: float
) -> tuple[np.ndarray, float]:
    """Intensities with a channel that rises along long steps, and the beta that fits both.

    scikit-image weighs a step by exp(-scale · the squares of all channels' differences). Where the
    second channel's is 2 · ln(length) / scale, it divides the weight by the length squared. Its own
    argument `spacing` divides differences of intensity, which makes long steps easier instead.

    Args:
        values: (a, b, c).
        spacing: Voxel size in mm; lengths are counted in its shortest side.
        beta: For the intensities alone.

    Returns:
        (a, b, c, 2) and beta.
    """
    scale = beta / (10 * values.std())
    rises = np.sqrt(2 * np.log(np.divide(spacing, min(spacing))) / scale)
    ramp = np.tensordot(rises, np.indices(values.shape), 1)
    both = np.stack([values, ramp], -1)
    return both, beta * np.sqrt(2) * both.std() / values.std()
