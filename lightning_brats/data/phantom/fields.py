"""Grids in millimetres, and the smooth random fields everything irregular is made from.

Fields are drawn on a lattice in millimetres and then evaluated on a grid, so one seed makes the
same patient at every voxel size. Shapes: `X Y Z` voxels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

_HALF_SPAN = 130.0  # mm; the lattice covers every grid in use


@dataclass(frozen=True)
class Grid:
    """Voxels of a field of view, or a window of them; axes run left, posterior, superior.

    Patient coordinates are millimetres from the middle of the field of view in RAS directions.

    Args:
        extent: Field of view (x, y, z) in mm.
        spacing: Edge of a voxel in mm.
        window: The part of the field of view that is meant.
    """

    extent: tuple[float, float, float]
    spacing: float
    window: tuple[slice, slice, slice] = (slice(None), slice(None), slice(None))

    @cached_property
    def axes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Patient coordinates along each array axis, broadcastable to (X, Y, Z)."""
        lines = []
        for sign, length, window in zip((-1, -1, 1), self.extent, self.window, strict=True):
            count = int(np.ceil(length / self.spacing))
            line = sign * ((np.arange(count) + 0.5) * self.spacing - length / 2)
            lines.append(line[window].astype(np.float32))
        return lines[0][:, None, None], lines[1][None, :, None], lines[2][None, None, :]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels (X, Y, Z) of the window."""
        x, y, z = (axis.size for axis in self.axes)
        return x, y, z

    @property
    def affine(self) -> np.ndarray:
        """(4, 4) voxel of the whole field of view → RAS+ mm; BraTS' own at 1 mm."""
        half = (self.spacing - 1) / 2
        affine = np.diag([-self.spacing, -self.spacing, self.spacing, 1.0])
        affine[:3, 3] = -half, self.extent[1] - 1 - half, half
        return affine

    def around(self, mask: np.ndarray, other: Grid, margin: float) -> Grid:
        """The window that holds a mask on another grid of the same field of view, and a margin.

        Args:
            mask: (X, Y, Z) bool on `other`, not empty.
            other: Its grid.
            margin: In mm.
        """
        window = []
        for axis in range(3):
            rest = tuple(a for a in range(3) if a != axis)
            reached = other.axes[axis].ravel()[mask.any(rest)]
            line = replace(self, window=(slice(None),) * 3).axes[axis].ravel()
            keep = (line >= reached.min() - margin) & (line <= reached.max() + margin)
            first, *_, last = np.flatnonzero(keep)
            window.append(slice(int(first), int(last) + 1))
        return replace(self, window=(window[0], window[1], window[2]))


def smooth_field(grid: Grid, wavelength: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian random field (X, Y, Z) float32 of mean 0 and variance 1.

    Args:
        grid: Where it is wanted.
        wavelength: Distance of the lattice nodes in mm; bumps are about twice as wide.
        rng: Draws one number a lattice node, whatever the grid.
    """
    nodes = int(np.ceil(2 * _HALF_SPAN / wavelength)) + 4
    field = rng.standard_normal((nodes, nodes, nodes), np.float32)
    for axis in grid.axes:  # each contraction takes the first axis and puts it last
        field = np.tensordot(field, _weights(axis.ravel(), nodes, wavelength), axes=(0, 1))
    return np.ascontiguousarray(field)


def _weights(points: np.ndarray, nodes: int, wavelength: float) -> np.ndarray:
    """Cubic B-spline weights (points, nodes), each row scaled to keep the variance at 1."""
    position = (points[:, None] + _HALF_SPAN) / wavelength + 1.5
    t = np.abs(position - np.arange(nodes))
    near, far = 2 / 3 - t**2 + t**3 / 2, np.maximum(2 - t, 0) ** 3 / 6
    weights = np.where(t < 1, near, far)
    return (weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32)


def resample(field: np.ndarray, source: Grid, target: Grid) -> np.ndarray:
    """Linear interpolation of a field on `source` (X, Y, Z) to the voxels of `target`."""
    for axis, (here, there) in enumerate(zip(source.axes, target.axes, strict=True)):
        line = here.ravel()
        position = np.clip((there.ravel() - line[0]) / (line[1] - line[0]), 0, line.size - 1)
        low = np.minimum(position.astype(int), line.size - 2)
        part = (position - low).astype(np.float32)
        part = np.expand_dims(part, [a for a in range(3) if a != axis])
        field = np.take(field, low, axis) * (1 - part) + np.take(field, low + 1, axis) * part
    return field


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Logistic function; clipped, since float32 overflows at 88."""
    return 1 / (1 + np.exp(-np.clip(x, -30, 30)))


def squared_distance(grid: Grid, centre: Sequence[float]) -> np.ndarray:
    """Squared distance (X, Y, Z) in mm² from a point in patient coordinates."""
    x, y, z = ((axis - c) ** 2 for axis, c in zip(grid.axes, centre, strict=True))
    return x + y + z
