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
    """Distances in mm between two surfaces, in both directions.

    Args:
        reference: N elements.
        prediction: M elements.
        spacing: Grid step in mm.
        forward: (N,) from the reference to the prediction, and (N,) the label that is nearest.
        backward: (M,) from the prediction to the reference, and (M,) the label that is nearest.
    """

    reference: Surface
    prediction: Surface
    spacing: Spacing
    forward: tuple[np.ndarray, np.ndarray]
    backward: tuple[np.ndarray, np.ndarray]

    @classmethod
    def between(
        cls, reference: Surface, prediction: Surface, spacing: Spacing, limit: float = np.inf
    ) -> SurfaceDistances:
        """Measure; distances above `limit` mm may be given as infinite, which is faster."""
        return cls(
            reference,
            prediction,
            spacing,
            nearest(reference.points, prediction, spacing, limit),
            nearest(prediction.points, reference, spacing, limit),
        )

    def part(self, lesions: np.ndarray, predicted: np.ndarray) -> SurfaceDistances:
        """Distances between some objects of the reference and some of the prediction, by label."""
        first, second = self.reference.rows(lesions), self.prediction.rows(predicted)
        reference, prediction = self.reference.take(first), self.prediction.take(second)
        return SurfaceDistances(
            reference,
            prediction,
            self.spacing,
            self._redone(reference, self.forward, first, prediction, predicted),
            self._redone(prediction, self.backward, second, reference, lesions),
        )

    def _redone(
        self,
        source: Surface,
        known: tuple[np.ndarray, np.ndarray],
        rows: np.ndarray,
        target: Surface,
        wanted: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Known distances of some rows, measured again where they lead to other objects."""
        distances, labels = known[0][rows], known[1][rows]
        redo = (labels != 0) & ~np.isin(labels, wanted)
        if redo.any():
            distances[redo], labels[redo] = nearest(source.points[redo], target, self.spacing)
        return distances, labels

    def hd95(self) -> float:
        """95th percentile of the distance in mm, the larger of both directions."""
        if self.one_empty:
            return self._empty("hd95")
        return max(
            weighted_percentile(self.forward[0], self.reference.weights, 0.95),
            weighted_percentile(self.backward[0], self.prediction.weights, 0.95),
        )

    def surface_dice(self, tolerance: float) -> float:
        """Area within `tolerance` mm of the other surface, as a share of both areas."""
        if self.one_empty:
            return self._empty("nsd_1.0")
        first, second = self.reference.weights, self.prediction.weights
        close = first[self.forward[0] <= tolerance].sum()
        close += second[self.backward[0] <= tolerance].sum()
        return float(close / (first.sum() + second.sum()))

    def mean_share(self, tolerance: float) -> float:
        """Share of elements within `tolerance` mm, averaged over the two surfaces (BraTS 2024)."""
        if self.one_empty:
            return self._empty("nsd_1.0")
        near = [np.mean(distances <= tolerance) for distances, _ in (self.forward, self.backward)]
        return float(sum(near)) / 2

    @property
    def one_empty(self) -> bool:
        """Whether a surface has no elements."""
        return len(self.reference) == 0 or len(self.prediction) == 0

    def _empty(self, metric: str) -> float:
        return float(where_empty(metric, len(self.reference) > 0, len(self.prediction) > 0))


def weighted_percentile(values: np.ndarray, weights: np.ndarray, share: float) -> float:
    """Smallest value at which the cumulative weight reaches `share`, without interpolation."""
    order = np.lexsort((weights, values))
    weights = weights[order]
    cumulative = np.cumsum(weights) / np.sum(weights)
    place = min(int(np.searchsorted(cumulative, share)), len(values) - 1)
    return float(values[order[place]])


def nearest(
    points: np.ndarray, targets: Surface, spacing: Spacing, limit: float = np.inf
) -> tuple[np.ndarray, np.ndarray]:
    """Distance in mm from every point to the nearest target, exact in double precision.

    Surfaces under comparison mostly run close together, so the grid positions around each point are
    looked up from the closest shell outwards, and only points that find nothing ask a KD-tree.

    Args:
        points: (N, 3) int grid positions.
        targets: M elements with labels from 1.
        spacing: Grid step in mm.
        limit: Distances above it (mm) may be given as infinite.

    Returns:
        (N,) float64 distances, infinite where there is no target; and (N,) the target's label, 0
        where there is none.
    """
    distances, labels = np.full(len(points), np.inf), np.zeros(len(points), np.intp)
    if not len(targets) or not len(points):
        return distances, labels
    low = targets.points.min(0) - 2 * REACH
    shape = targets.points.max(0) + 2 * REACH + 1 - low
    grid = np.zeros(shape, np.min_scalar_type(int(targets.labels.max())))
    grid[tuple((targets.points - low).T)] = targets.labels
    grid, strides = grid.ravel(), np.array([shape[1] * shape[2], shape[2], 1])
    local = points - low
    left = np.flatnonzero(((local >= REACH) & (local < shape - REACH)).all(1))
    flat = local[left] @ strides
    reach = min(limit, (REACH + 1) * min(spacing) * (1 - 1e-9))
    for distance, offsets in _shells(spacing, reach):
        found = grid[(offsets @ strides)[:, None] + flat].max(0)
        hit = found != 0
        distances[left[hit]], labels[left[hit]] = distance, found[hit]
        left, flat = left[~hit], flat[~hit]
        if not len(left):
            break
    far = np.flatnonzero(labels == 0)
    if len(far) and limit > reach:
        step = np.asarray(spacing)
        # Sliding midpoints and loose boxes: several times faster for points that are all far away.
        tree = cKDTree(targets.points * step, 32, compact_nodes=False, balanced_tree=False)
        index = tree.query(points[far] * step)[1]
        away = (points[far] - targets.points[index]) * step
        distances[far], labels[far] = np.sqrt((away**2).sum(1)), targets.labels[index]
    return distances, labels


@lru_cache(maxsize=64)
def _shells(spacing: Spacing, reach: float) -> list[tuple[float, np.ndarray]]:
    """Grid offsets (k, 3) of equal length, by ascending length up to `reach` mm."""
    span = range(-REACH, REACH + 1)
    offsets = np.array(list(itertools.product(span, repeat=3)))
    lengths = np.sqrt(((offsets * np.asarray(spacing)) ** 2).sum(1))
    values = np.unique(lengths[lengths <= reach])
    return [(float(value), offsets[lengths == value]) for value in values]
