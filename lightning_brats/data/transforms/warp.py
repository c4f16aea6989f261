"""Rotation, scaling and elastic deformation in one interpolation of all channels.

The map from a patch's voxels to the places they are taken from is a spline over few control points
(eight corners where nothing bends), so its values at all voxels are three small matrix products and
its extent is known before anything is read. A patch is therefore cut with just the source voxels
that its own draw needs, and never shows padding inside the volume.

Shapes: `C` channels, `X Y Z` the patch, `I J K` control points.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torchio as tio
from torch import Tensor
from torch.nn import functional as F

from lightning_brats.augment.separable import cubic_spline, expand, linear


class Warp(tio.SpatialTransform):
    """Take each output voxel from a rotated, scaled and bent place of the input.

    Images are interpolated linearly and are zero outside the input. Label maps take the nearest
    voxel's label: no label can appear that was not there, and one label costs as much as five.
    On input of one slice, the slice is turned, scaled and bent in its plane.

    Args:
        degrees: Rotation about x, y and z, applied in this order.
        scaling: Input voxels for each output voxel: above 1 things get smaller (as in nnU-Net).
        control_points: (I, J, K, 3) displacements in voxels, or `None`; uniform cubic B-splines
            whose outermost control points lie outside the output, as in `torchio`'s and ITK's.
        shape: (X, Y, Z) of the output; the input's when not given.
        center: Place in the input, in voxels, where the middle of the output comes from; the
            input's middle when not given.
        **kwargs: Of `torchio.Transform`.
    """

    def __init__(
        self,
        degrees: Sequence[float] = (0, 0, 0),
        scaling: float = 1,
        control_points: np.ndarray | None = None,
        shape: Sequence[int] | None = None,
        center: Sequence[float] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.degrees, self.scaling, self.control_points = degrees, scaling, control_points
        self.shape, self.center = shape, center
        self.invert_transform = False
        self.args_names = ["degrees", "scaling", "control_points", "shape", "center"]

    def is_invertible(self) -> bool:
        """Whether it does not bend: a spline's inverse is no spline."""
        return self.control_points is None

    def aimed(self, shape: Sequence[int], center: Sequence[float]) -> Warp:
        """This warp with another output shape and place."""
        aimed = copy.copy(self)
        aimed.shape, aimed.center = tuple(shape), tuple(float(c) for c in center)
        return aimed

    def source(self, corner: Sequence[int], size: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """First and last-plus-one voxel that an output box of this size around this place needs.

        Args:
            corner: First voxel of the box that the output would be without the warp.
            size: (X, Y, Z) of the output.
        """
        half = (np.asarray(size) - 1) / 2
        center = np.asarray(corner) + half
        bend = np.abs(self._displacements(size)).max((0, 1, 2))  # splines stay within their points
        reach = np.abs(self.matrix(size)) @ (half + bend)
        still = np.asarray(size) == 1  # not a fraction of a voxel beyond a slice
        low = np.where(still, center, np.floor(center - reach) - 1)
        high = np.where(still, center + 1, np.ceil(center + reach) + 2)
        return low.astype(int), high.astype(int)

    def matrix(self, shape: Sequence[int]) -> np.ndarray:
        """(3, 3) from an output voxel's offset from the middle to the input's."""
        thin = [axis for axis in range(3) if shape[axis] == 1]
        turns = [
            0 if any(other != axis for other in thin) else math.radians(angle)
            for axis, angle in enumerate(self.degrees)
        ]
        stretch = [1 if axis in thin else self.scaling for axis in range(3)]
        matrix = rotation(turns) @ np.diag(stretch)
        return np.linalg.inv(matrix) if self.invert_transform else matrix

    def grid(self, shape: Sequence[int], center: Sequence[float], source: Sequence[int]) -> Tensor:
        """Places (X, Y, Z, 3) in `F.grid_sample`'s coordinates of a source of the given shape."""
        displacements = self._displacements(shape)
        counts = displacements.shape[:3]
        if self.control_points is None:
            bases = [linear(size) for size in shape]
            lines = [np.array([-(size - 1) / 2, (size - 1) / 2]) for size in shape]
        else:
            bases = [cubic_spline(n, k) for n, k in zip(shape, counts, strict=True)]
            lines = [
                (np.arange(k) - 1) / (k - 3) * n - n / 2 for n, k in zip(shape, counts, strict=True)
            ]
        offsets = np.stack(np.meshgrid(*lines, indexing="ij"), -1) + displacements
        places = offsets @ self.matrix(shape).T + np.asarray(center)
        places = (2 * places + 1) / np.asarray(source) - 1  # -1 … 1 from border to border
        points = torch.from_numpy(places[..., ::-1].copy()).float()  # z first
        return expand(points, [basis.float() for basis in bases])

    def apply_transform(self, subject: tio.Subject) -> tio.Subject:
        """Resample every image."""
        if self._is_nothing():
            return subject
        grids: dict[tuple[int, ...], Tensor] = {}
        for image in self.get_images(subject):
            source = tuple(image.spatial_shape)
            shape: Sequence[int] = source
            center: Sequence[float] = [(size - 1) / 2 for size in source]
            if not self.invert_transform:
                shape, center = self.shape or shape, self.center or center
            if source not in grids:
                grids[source] = self.grid(shape, center, source)[None]
            scalar = isinstance(image, tio.ScalarImage)
            found = F.grid_sample(
                image.data[None].float(),
                grids[source],
                "bilinear" if scalar else "nearest",
                align_corners=False,
            )[0]
            image.set_data(found if scalar else found.to(image.data.dtype))
        return subject

    def _is_nothing(self) -> bool:
        still = not any(self.degrees) and self.scaling == 1
        return still and self.control_points is None and self.shape is None

    def _displacements(self, shape: Sequence[int]) -> np.ndarray:
        if self.control_points is None:
            return np.zeros((2, 2, 2, 3))
        return np.where(np.asarray(shape) == 1, 0, np.asarray(self.control_points, float))


def rotation(radians: Sequence[float]) -> np.ndarray:
    """(3, 3) that turns about x, then y, then z."""
    matrix = np.eye(3)
    for axis, angle in enumerate(radians):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[first, first] = turn[second, second] = math.cos(angle)
        turn[second, first], turn[first, second] = math.sin(angle), -math.sin(angle)
        matrix = turn @ matrix
    return matrix
