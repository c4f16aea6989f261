"""The two diameters that clinicians measure.

RANO criteria (Wen et al., J Clin Oncol 2010; 2023) measure enhancing tumour by the product of its
longest diameter on an axial slice and the longest one perpendicular to it. Radiologists choose
measurable lesions and leave cavities and cysts out; a program that takes the largest lesion of a
mask (as AutoRANO, Chang et al., Neuro-Oncology 2019) only comes near that.

Shapes: X Y Z voxels with axes near right, anterior, superior; N points.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist, squareform


def bidimensional_product(mask: np.ndarray, spacing: tuple[float, float, float]) -> float:
    """Largest product of perpendicular diameters over axial slices and lesions, in mm².

    Args:
        mask: (X, Y, Z) bool, turned to RAS+.
        spacing: Voxel size in mm.

    Returns:
        0 where the mask is empty.
    """
    best = 0.0
    for index in np.flatnonzero(mask.any((0, 1))):
        parts, count = ndimage.label(mask[..., index], np.ones((3, 3)))
        for lesion in range(1, count + 1):
            best = max(best, _product(parts == lesion, spacing[:2]))
    return best


def _product(lesion: np.ndarray, spacing: tuple[float, ...]) -> float:
    """Longest diameter times the longest perpendicular one of a lesion (X, Y) on a slice."""
    points = _corners(lesion) * np.asarray(spacing)
    try:
        outline = points[ConvexHull(points).vertices]
    except QhullError:  # without area
        return 0.0
    distances = squareform(pdist(outline))
    first, second = np.unravel_index(distances.argmax(), distances.shape)
    along = (outline[second] - outline[first]) / distances.max()
    return float(distances.max() * _perpendicular(lesion, spacing, along))


def _corners(lesion: np.ndarray) -> np.ndarray:
    """(N, 2) corners of a mask's pixels, in pixels."""
    pixels = np.argwhere(lesion)
    shifts = np.array([(0, 0), (0, 1), (1, 0), (1, 1)])
    return np.unique((pixels[:, None] + shifts).reshape(-1, 2), axis=0)


def _perpendicular(lesion: np.ndarray, spacing: tuple[float, ...], along: np.ndarray) -> float:
    """Longest chord across a direction, in mm: over strips as wide as a pixel."""
    across = np.array([-along[1], along[0]])
    size = np.asarray(spacing)
    middles = (np.argwhere(lesion) + 0.5) * size
    strips = np.floor(middles @ along / max(spacing)).astype(int)
    reach = middles @ across
    extent = float(np.abs(across) @ size)  # of one pixel
    return max(float(np.ptp(reach[strips == strip])) + extent for strip in np.unique(strips))
