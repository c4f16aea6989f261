"""Where a cropped array lies in its source file, and the way back.

Two kinds of way back. A case that was only turned and cropped goes back voxel by voxel. One that
was resampled (to another voxel size, to an atlas) goes back by linear interpolation of
probabilities: every spatial step is linear, so together they are one 4×4 matrix.

Shapes: `X Y Z` the file's grid, `x y z` the crop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import nibabel as nib
import numpy as np
from scipy import ndimage

Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
Rows = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Resampled:
    """The grid that a case was brought to; its axes run right, anterior, superior.

    Args:
        shape: Its voxels.
        affine: Its voxel → RAS+ mm of the *file*: registration and resampling in one matrix.
    """

    shape: tuple[int, int, int]
    affine: Rows


@dataclass(frozen=True)
class Geometry:
    """Where a cropped array lies in its source file.

    Args:
        shape: (X, Y, Z) of the file.
        affine: Voxel → RAS+ mm of the file, row by row.
        box: First and last-plus-one voxel of the crop on each axis, after turning to RAS+; of the
            resampled grid where there is one.
        resampled: The grid that was cropped, where it is not the file's own.
    """

    shape: tuple[int, int, int]
    affine: Rows
    box: Box
    resampled: Resampled | None = None

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size in mm of the patient, along the cropped array's axes."""
        if self.resampled is not None:
            x, y, z = nib.affines.voxel_sizes(np.asarray(self.resampled.affine)).tolist()
            return x, y, z
        size = nib.affines.voxel_sizes(np.asarray(self.affine))
        x, y, z = (float(size[int(axis)]) for axis in np.argsort(self._orientation()[:, 0]))
        return x, y, z

    def to_canonical(self, array: np.ndarray) -> np.ndarray:
        """(..., X, Y, Z) in the file's axes → RAS+ axes."""
        return _turn(array, self._orientation())

    def restore(self, array: np.ndarray) -> np.ndarray:
        """(..., x, y, z) on the crop → (..., X, Y, Z) on the file's grid, 0 outside the crop.

        Exact where nothing was resampled. Otherwise real numbers are interpolated linearly;
        integers are taken for labels, of which the one with the largest interpolated share wins.
        """
        if self.resampled is not None:
            native, geometry = self.to_native(array)
            return geometry.restore(native)
        orientation = self._orientation()
        full = np.zeros((*array.shape[:-3], *self._canonical_shape()), array.dtype)
        inside: tuple[Any, ...] = (..., *(slice(low, high) for low, high in self.box))
        full[inside] = array
        target = nib.orientations.axcodes2ornt("RAS")
        return _turn(full, nib.orientations.ornt_transform(target, orientation))

    def to_native(
        self, array: np.ndarray, background: int | None = None
    ) -> tuple[np.ndarray, Geometry]:
        """The array on the file's voxels, and its geometry there: no longer resampled, cropped.

        Masks are to be made from probabilities that were brought back so, not the other way round:
        a mask that is interpolated loses what is thin. Nothing changes where nothing was resampled.

        Args:
            array: (..., x, y, z) on the crop; see `restore` for integers.
            background: Channel of a softmax that is 1 wherever the crop does not reach.
        """
        if self.resampled is None:
            return array, self
        to_file = np.asarray(self.resampled.affine) @ _offset([low for low, _ in self.box])
        turned = self._turned_affine()
        box = _reached(array.shape[-3:], np.linalg.inv(turned) @ to_file, self._canonical_shape())
        matrix = np.linalg.inv(to_file) @ turned @ _offset([low for low, _ in box])
        size = tuple(high - low for low, high in box)
        brought = _interpolate(array, matrix, size)
        if background is not None:
            brought[background] += 1 - brought.sum(0)
        return brought, Geometry(self.shape, self.affine, box)

    def _canonical_shape(self) -> tuple[int, ...]:
        return tuple(self.shape[int(axis)] for axis in np.argsort(self._orientation()[:, 0]))

    def _turned_affine(self) -> np.ndarray:
        """Voxel after turning to RAS+ → RAS+ mm."""
        turn = nib.orientations.inv_ornt_aff(self._orientation(), self.shape)
        return np.asarray(self.affine) @ turn

    def _orientation(self) -> np.ndarray:
        return nib.orientations.io_orientation(np.asarray(self.affine))

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Geometry:
        """Inverse of `to_dict`."""
        box = [(int(low), int(high)) for low, high in data["box"]]
        found = data.get("resampled")
        resampled = found and Resampled(_shape(found["shape"]), rows(found["affine"]))
        return cls(_shape(data["shape"]), rows(data["affine"]), (box[0], box[1], box[2]), resampled)


def rows(matrix: Any) -> Rows:
    """A matrix as plain numbers."""
    return tuple(tuple(float(v) for v in row) for row in matrix)


def _shape(values: Any) -> tuple[int, int, int]:
    x, y, z = (int(v) for v in values)
    return x, y, z


def _offset(low: Sequence[int]) -> np.ndarray:
    """Voxel of a crop that begins at `low` → voxel of what it was cut from."""
    matrix = np.eye(4)
    matrix[:3, 3] = low
    return matrix


def _reached(size: tuple[int, ...], matrix: np.ndarray, shape: tuple[int, ...]) -> Box:
    """The part of a grid that interpolation from an array of this size reaches, never empty."""
    corners = np.array(list(product(*((-1, n) for n in size))))
    points = corners @ matrix[:3, :3].T + matrix[:3, 3]
    low = np.clip(np.floor(points.min(0)), 0, np.asarray(shape) - 1).astype(int)
    high = np.clip(np.ceil(points.max(0)) + 1, low + 1, shape).astype(int)
    x, y, z = zip(low.tolist(), high.tolist(), strict=True)
    return x, y, z


def _interpolate(array: np.ndarray, matrix: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """(..., x, y, z) at other voxels; `matrix` leads from their indices to the array's."""
    if np.issubdtype(array.dtype, np.integer) or array.dtype == bool:
        return interpolate_labels(array, matrix, size)
    out = np.empty((*array.shape[:-3], *size), np.result_type(array.dtype, np.float32))
    for index in np.ndindex(array.shape[:-3]):
        volume = array[index].astype(out.dtype, copy=False)
        ndimage.affine_transform(
            volume, matrix, output_shape=size, output=out[index], order=1, mode="grid-constant"
        )
    return out


def interpolate_labels(labels: np.ndarray, matrix: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Each label's share interpolated linearly; the largest one wins.

    Args:
        labels: (..., x, y, z) integers or bool, 0 background.
        matrix: (4, 4) index of the wanted voxels → index of `labels`.
        size: The wanted voxels.
    """
    out = np.zeros((*labels.shape[:-3], *size), labels.dtype)
    present = np.argwhere((labels != 0).reshape(-1, *labels.shape[-3:]).any(0))
    if not present.size:
        return out
    # Only what holds labels takes part, and only where it is seen from the wanted voxels.
    low, high = np.maximum(present.min(0) - 1, 0).tolist(), (present.max(0) + 2).tolist()
    x, y, z = (slice(a, b) for a, b in zip(low, high, strict=True))
    labels = labels[..., x, y, z]
    matrix = np.linalg.inv(_offset(low)) @ matrix
    box = _reached(labels.shape[-3:], np.linalg.inv(matrix), size)
    matrix, inside = matrix @ _offset([a for a, _ in box]), tuple(b - a for a, b in box)
    # Background's share is what the others leave, so it is compared last, from their sum.
    part = np.zeros((*labels.shape[:-3], *inside), labels.dtype)
    most, total = np.zeros(part.shape, np.float32), np.zeros(part.shape, np.float32)
    for value in np.unique(labels[labels != 0]):
        share = _interpolate((labels == value).astype(np.float32), matrix, inside)
        ahead = share > most
        part[ahead], most[ahead] = value, share[ahead]
        total += share
    part[most <= 1 - total] = 0
    where: tuple[Any, ...] = (..., *(slice(a, b) for a, b in box))
    out[where] = part
    return out


def _turn(array: np.ndarray, orientation: np.ndarray) -> np.ndarray:
    """Permute and flip the last three axes (`nibabel` works on the first three)."""
    lead = array.ndim - 3
    moved = np.moveaxis(array, range(lead), range(-lead, 0)) if lead else array
    turned = nib.orientations.apply_orientation(moved, orientation)
    return np.moveaxis(turned, range(-lead, 0), range(lead)) if lead else turned
