"""Fuzzy c-means over modalities (Bezdek, "Pattern Recognition with Fuzzy Objective Function
Algorithms", Plenum, 1981).

Shapes: `N` voxels, `F` features, `K` clusters.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.cluster import kmeans_plusplus

from lightning_brats.baselines.clusters import Clusters
from lightning_brats.errors import ConfigError

NEAREST = 1e-12
"""Squared distance below which a voxel counts as lying on a centre."""


class FuzzyCMeans(Clusters):
    """Every voxel belongs to every cluster, the more the nearer.

    Args:
        fuzziness: Bezdek's m, above 1: 1 would be k-means, large values make all clusters equal.
        tolerance: Largest movement of a centre at which the search ends.
        iterations: At which it ends in any case.
        settings: Further arguments, of `Clusters`.

    Raises:
        ConfigError: The fuzziness is not above 1.
    """

    def __init__(
        self,
        fuzziness: float = 1.5,
        tolerance: float = 1e-4,
        iterations: int = 200,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        if fuzziness <= 1:
            raise ConfigError(
                f"method.fuzziness={fuzziness:g}: must be above 1", remedy="2 is usual"
            )
        self.fuzziness, self.tolerance, self.iterations = fuzziness, tolerance, iterations

    def partition(self, sample: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
        """(N, K) memberships."""
        start, _ = kmeans_plusplus(sample, count, random_state=self.seed)
        found = centres(sample, start, self.fuzziness, self.tolerance, self.iterations)
        return memberships(values, found, self.fuzziness)


def memberships(values: np.ndarray, centres: np.ndarray, fuzziness: float) -> np.ndarray:
    """(N, K) memberships of voxels (N, F) in clusters with centres (K, F); rows add up to 1."""
    distance = np.maximum(cdist(values, centres, "sqeuclidean"), NEAREST)
    # Relative to the nearest, so that a power of a tiny number does not overflow.
    near = (distance.min(1, keepdims=True) / distance) ** (1 / (fuzziness - 1))
    return near / near.sum(1, keepdims=True)


def centres(
    values: np.ndarray, start: np.ndarray, fuzziness: float, tolerance: float, iterations: int
) -> np.ndarray:
    """(K, F) centres: memberships and centres in turns, until no centre moves any more.

    Args:
        values: (N, F).
        start: (K, F) first centres.
        fuzziness: Above 1.
        tolerance: Largest movement at which it ends.
        iterations: Most turns.
    """
    found = start.astype(np.float64)
    for _ in range(iterations):
        weights = memberships(values, found, fuzziness) ** fuzziness
        moved = (weights.T @ values) / weights.sum(0)[:, None]
        movement = float(np.abs(moved - found).max())
        found = moved
        if movement <= tolerance:
            break
    return found
