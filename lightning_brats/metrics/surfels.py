"""Surface elements of a mask: where they lie, how large they are, whose they are.

A surfel sits on a corner of the voxel grid. The 2×2×2 voxels around the corner make a code of 8
bits, and each code has a fixed piece of surface: the one that marching cubes draws between the
midpoints of the cube's cut edges (Nikolov et al. 2018, arXiv:1809.04430, use it for surface dice).
Shapes: `N` surfels, `X Y Z` voxels.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

CORNERS = np.array([(b & 1, b >> 1 & 1, b >> 2 & 1) for b in range(8)])
"""Bit of a code → position of its voxel in the 2×2×2 neighbourhood."""


@dataclass(frozen=True)
class Surface:
    """Surface elements of a label map.

    Args:
        points: (N, 3) int, grid positions.
        weights: (N,) float, area in mm² (1 for border voxels).
        labels: (N,) int, the object each element belongs to.
    """

    points: np.ndarray
    weights: np.ndarray
    labels: np.ndarray

    @classmethod
    def join(cls, parts: Sequence[Surface]) -> Surface:
        """Several surfaces as one, sorted by label."""
        labels = np.concatenate([part.labels for part in parts])
        order = np.argsort(labels, kind="stable")
        points = np.concatenate([part.points for part in parts])
        weights = np.concatenate([part.weights for part in parts])
        return cls(points[order], weights[order], labels[order])

    def shift(self, origin: np.ndarray) -> Surface:
        """The same surface, counted from another origin."""
        return replace(self, points=self.points + origin)

    def rows(self, wanted: np.ndarray) -> np.ndarray:
        """Which elements have one of these labels, of a surface sorted by label."""
        starts = np.searchsorted(self.labels, wanted)
        ends = np.searchsorted(self.labels, wanted, side="right")
        ranges = [np.arange(a, b) for a, b in zip(starts, ends, strict=True)]
        return np.concatenate([np.empty(0, np.intp), *ranges])

    def take(self, rows: np.ndarray) -> Surface:
        """Some of the elements."""
        return Surface(self.points[rows], self.weights[rows], self.labels[rows])

    def __len__(self) -> int:
        return len(self.points)


def surfels(labels: np.ndarray, spacing: tuple[float, float, float]) -> Surface:
    """Surfels of every object in a label map.

    Args:
        labels: (X, Y, Z), 0 background, 1 … n objects that do not touch (26-neighbours), or bool.
            Beyond the array there is background.
        spacing: Voxel edge lengths in mm.
    """
    padded = np.pad(labels != 0, 1).view(np.uint8)
    codes = padded[:-1] | padded[1:] << 1
    codes = codes[:, :-1] | codes[:, 1:] << 2
    codes = codes[:, :, :-1] | codes[:, :, 1:] << 4
    flat = np.flatnonzero((codes + np.uint8(1)) > 1)  # neither 0 nor 255
    found = codes.ravel()[flat]
    points = np.stack(np.unravel_index(flat, codes.shape), axis=1)
    owner = points + _FIRST_VOXEL[found] - 1
    return Surface(points, surfel_areas(spacing)[found], labels[tuple(owner.T)].astype(np.intp))


def border_voxels(labels: np.ndarray) -> Surface:
    """Voxels with a background voxel among their 6 neighbours, each of weight 1.

    Args:
        labels: As for `surfels`.
    """
    padded = np.pad(labels != 0, 1)
    inner = padded[1:-1, 1:-1, 1:-1]
    surrounded = padded[:-2, 1:-1, 1:-1] & padded[2:, 1:-1, 1:-1]
    surrounded &= padded[1:-1, :-2, 1:-1] & padded[1:-1, 2:, 1:-1]
    surrounded &= padded[1:-1, 1:-1, :-2] & padded[1:-1, 1:-1, 2:]
    flat = np.flatnonzero(inner & ~surrounded)
    points = np.stack(np.unravel_index(flat, labels.shape), axis=1)
    return Surface(points, np.ones(len(flat)), labels.ravel()[flat].astype(np.intp))


@lru_cache(maxsize=64)
def surfel_areas(spacing: tuple[float, float, float]) -> np.ndarray:
    """(256,) surface area in mm² of each neighbourhood code, read-only."""
    x, y, z = spacing
    scale = np.array([y * z, x * z, x * y])
    areas = np.array([np.linalg.norm(v * scale, axis=1).sum() for v in _area_vectors()])
    areas.flags.writeable = False
    return areas


@lru_cache(maxsize=1)
def _area_vectors() -> list[np.ndarray]:
    """Area vectors (triangles, 3) of each code's surface, for unit voxels."""
    table = []
    for code in range(256):
        inside = [tuple(corner) for bit, corner in enumerate(CORNERS) if code >> bit & 1]
        # The rarer kind of corner is cut off, one piece for each of its groups: on a face with
        # two diagonal corners the surface separates them.
        if len(inside) > 4:
            inside = [tuple(corner) for corner in CORNERS if tuple(corner) not in inside]
        vectors = [v for group in _groups(inside) for v in _largest_surface(_loop(group))]
        table.append(np.array(vectors).reshape(-1, 3))
    return table


def _groups(corners: list[tuple]) -> Iterator[list[tuple]]:
    """Corners joined by edges of the cube."""
    left = list(corners)
    while left:
        group = [left.pop()]
        for corner in group:
            near = [c for c in left if np.abs(np.subtract(c, corner)).sum() == 1]
            group += near
            left = [c for c in left if c not in near]
        yield group


def _loop(group: list[tuple]) -> np.ndarray:
    """Midpoints (n, 3) of the edges that leave a group, in order around it."""
    edges = [(a, tuple(b)) for a in group for b in CORNERS if np.abs(b - a).sum() == 1]
    left = [np.add(a, b) / 2 for a, b in edges if b not in group]
    loop = [left.pop()]
    while left:
        # Neighbours in the loop lie on one face of the cube.
        near = next(i for i, p in enumerate(left) if ((p == loop[-1]) & (p % 1 == 0)).any())
        loop.append(left.pop(near))
    return np.array(loop)


def _largest_surface(loop: np.ndarray) -> np.ndarray:
    """Area vectors of the triangulation with the largest area.

    Most loops are flat and leave no choice; a pentagon is folded outwards, and a hexagon around a
    path of four corners into a triangle with three ears.
    """
    best, largest = np.empty((0, 3)), 0.0
    for triangles in _triangulations(range(len(loop))):
        a, b, c = np.moveaxis(loop[np.array(triangles)], 1, 0)
        vectors = np.cross(b - a, c - a) / 2
        area = np.linalg.norm(vectors, axis=1).sum()
        if area > largest + 1e-9:
            best, largest = vectors, area
    return best


def _triangulations(polygon: range) -> Iterator[list[tuple[int, int, int]]]:
    """All ways to cut a polygon, given by its vertex numbers, into triangles."""
    if len(polygon) == 2:
        yield []
    for k in range(1, len(polygon) - 1):
        sides = _triangulations(polygon[: k + 1]), _triangulations(polygon[k:])
        for left, right in itertools.product(*sides):
            yield [*left, (polygon[0], polygon[k], polygon[-1]), *right]


_FIRST_VOXEL = np.array([CORNERS[max(0, (code & -code).bit_length() - 1)] for code in range(256)])
"""Code → position of one voxel of the mask in the neighbourhood."""
