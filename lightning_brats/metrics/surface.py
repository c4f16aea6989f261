"""Distances between surfaces: HD95 and normalised surface dice.

Definitions of the BraTS challenges (Nikolov et al. 2018, arXiv:1809.04430): distances run from the
surfels of one mask to the nearest surfel of the other, and every surfel counts by its area. They
differ from percentiles over border voxels (MedPy, MONAI) by up to a voxel or more.
Shapes: `N`, `M` points of two surfaces.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.spatial import cKDTree

from lightning_brats.metrics.surfels import Surface
from lightning_brats.metrics.table import where_empty

Spacing = tuple[float, float, float]

REACH = 3
"""Voxels within which neighbours are looked up on the grid; what is farther asks a KD-tree."""


@dataclass(frozen=True)
class SurfaceDistances:
    """Distances in mm between two surfaces, in both directions, with the weight of each.

    Args:
        forward: (N,) from the reference's elements to the prediction.
        forward_weights: (N,).
        backward: (M,) from the prediction's elements to the reference.
        backward_weights: (M,).
    """

    forward: np.ndarray
    forward_weights: np.ndarray
    backward: np.ndarray
    backward_weights: np.ndarray

    @classmethod
    def between(
        cls, reference: Surface, prediction: Surface, spacing: Spacing, limit: float = np.inf
    ) -> SurfaceDistances:
        """Measure; distances above `limit` mm may be given as infinite, which is faster."""
        return cls(
            nearest(reference.points, prediction.points, spacing, limit),
            reference.weights,
            nearest(prediction.points, reference.points, spacing, limit),
            prediction.weights,
        )

    def hd95(self) -> float:
        """95th percentile of the distance in mm, the larger of both directions."""
        if not len(self.forward) or not len(self.backward):
            return self._empty("hd95")
        return max(
            weighted_percentile(self.forward, self.forward_weights, 0.95),
            weighted_percentile(self.backward, self.backward_weights, 0.95),
        )

    def surface_dice(self, tolerance: float) -> float:
        """Area within `tolerance` mm of the other surface, as a share of both areas."""
        if not len(self.forward) or not len(self.backward):
            return self._empty("nsd_1.0")
        close = self.forward_weights[self.forward <= tolerance].sum()
        close += self.backward_weights[self.backward <= tolerance].sum()
        return float(close / (self.forward_weights.sum() + self.backward_weights.sum()))

    def mean_share(self, tolerance: float) -> float:
        """Share of elements within `tolerance` mm, averaged over the two surfaces (BraTS 2024)."""
        if not len(self.forward) or not len(self.backward):
            return self._empty("nsd_1.0")
        return float(np.mean(self.forward <= tolerance) + np.mean(self.backward <= tolerance)) / 2

    def _empty(self, metric: str) -> float:
        return float(where_empty(metric, len(self.forward) > 0, len(self.backward) > 0))


def weighted_percentile(values: np.ndarray, weights: np.ndarray, share: float) -> float:
    """Smallest value at which the cumulative weight reaches `share`, without interpolation."""
    order = np.lexsort((weights, values))
    weights = weights[order]
    cumulative = np.cumsum(weights) / np.sum(weights)
    place = min(int(np.searchsorted(cumulative, share)), len(values) - 1)
    return float(values[order[place]])


def nearest(
    points: np.ndarray, targets: np.ndarray, spacing: Spacing, limit: float = np.inf
) -> np.ndarray:
    """Distance in mm from every point to the nearest target, exact in double precision.

    Surfaces under comparison mostly run close together, so the grid positions around each point are
    looked up from the closest shell outwards, and only points that find nothing ask a KD-tree.

    Args:
        points: (N, 3) int grid positions.
        targets: (M, 3) int grid positions.
        spacing: Grid step in mm.
        limit: Distances above it (mm) may be given as infinite.

    Returns:
        (N,) float64; infinite where there is no target.
    """
    distances = np.full(len(points), np.inf)
    if not len(targets) or not len(points):
        return distances
    low = targets.min(0) - 2 * REACH
    shape = targets.max(0) + 2 * REACH + 1 - low
    grid = np.zeros(shape, bool)
    grid[tuple((targets - low).T)] = True
    grid, strides = grid.ravel(), np.array([shape[1] * shape[2], shape[2], 1])
    local = points - low
    left = np.flatnonzero(((local >= REACH) & (local < shape - REACH)).all(1))
    flat = local[left] @ strides
    reach = min(limit, (REACH + 1) * min(spacing) * (1 - 1e-9))
    for distance, offsets in _shells(spacing, reach):
        found = grid[(offsets @ strides)[:, None] + flat].any(0)
        distances[left[found]] = distance
        left, flat = left[~found], flat[~found]
        if not len(left):
            break
    far = np.flatnonzero(np.isinf(distances))
    if len(far) and limit > reach:
        step = np.asarray(spacing)
        # Sliding midpoints and loose boxes: several times faster for points that are all far away.
        tree = cKDTree(targets * step, leafsize=32, compact_nodes=False, balanced_tree=False)
        index = tree.query(points[far] * step)[1]
        distances[far] = np.sqrt((((points[far] - targets[index]) * step) ** 2).sum(1))
    return distances


@lru_cache(maxsize=64)
def _shells(spacing: Spacing, reach: float) -> list[tuple[float, np.ndarray]]:
    """Grid offsets (k, 3) of equal length, by ascending length up to `reach` mm."""
    span = range(-REACH, REACH + 1)
    offsets = np.array(list(itertools.product(span, repeat=3)))
    lengths = np.sqrt(((offsets * np.asarray(spacing)) ** 2).sum(1))
    values = np.unique(lengths[lengths <= reach])
    return [(float(value), offsets[lengths == value]) for value in values]
