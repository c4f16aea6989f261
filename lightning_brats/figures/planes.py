"""From voxels in any storage order to slices seen the radiological way.

Volumes are turned to RAS+ first, so that the sides come from the affine alone. Axial and coronal
slices then show the patient's left on the right of the picture, sagittal ones look to the left.

Shapes: `C` modalities, `X Y Z` voxels, `V H` rows (from the bottom) and columns of a picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import nibabel as nib
import numpy as np


@dataclass(frozen=True)
class Plane:
    """A viewing plane.

    Args:
        name: Shown over the slice.
        axis: RAS axis the plane is perpendicular to.
        sides: Anatomical letter at the left, the right and the top of the picture.
    """

    name: str
    axis: int
    sides: tuple[str, str, str]

    @property
    def axes(self) -> tuple[int, int]:
        """RAS axes that run along the picture's columns and rows."""
        across, up = (axis for axis in range(3) if axis != self.axis)
        return across, up


AXIAL = Plane("axial", 2, ("R", "L", "A"))
CORONAL = Plane("coronal", 1, ("R", "L", "S"))
SAGITTAL = Plane("sagittal", 0, ("A", "P", "S"))


def to_ras(array: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flip and permute the last three axes (..., X, Y, Z) to the closest RAS+ order.

    Returns:
        The array (a view) and its affine.
    """
    orientation = nib.orientations.io_orientation(affine)
    shape = array.shape[-3:]
    last = np.moveaxis(array, (-3, -2, -1), (0, 1, 2))
    turned = nib.orientations.apply_orientation(last, orientation)
    turned_affine = affine @ nib.orientations.inv_ornt_aff(orientation, shape)
    return np.moveaxis(turned, (0, 1, 2), (-3, -2, -1)), turned_affine


def take(volume: np.ndarray, plane: Plane, index: int) -> np.ndarray:
    """Slice of an RAS+ volume (X, Y, Z) as a picture (V, H), its first row at the bottom.

    Columns run from the patient's right to left, or from front to back.
    """
    return np.take(volume, index, plane.axis)[::-1].T


def widest_slices(mask: np.ndarray) -> tuple[int, int, int]:
    """Index along each axis of the slice that holds most of the mask (X, Y, Z)."""
    areas = (mask.sum((1, 2)), mask.sum((0, 2)), mask.sum((0, 1)))
    return tuple(int(area.argmax()) for area in areas)  # type: ignore[return-value]


def bounding_box(mask: np.ndarray, margin: np.ndarray) -> tuple[slice, slice, slice]:
    """Box around the mask (X, Y, Z), `margin` (3,) voxels wider on each side; all where empty."""
    box = []
    for axis, extra in enumerate(margin):
        inside = np.flatnonzero(mask.any(tuple(a for a in range(3) if a != axis)))
        first, last = (inside[0], inside[-1]) if inside.size else (0, mask.shape[axis] - 1)
        box.append(slice(max(first - extra, 0), min(last + extra + 1, mask.shape[axis])))
    return tuple(box)  # type: ignore[return-value]
