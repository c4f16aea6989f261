"""k-means over modalities (Lloyd, IEEE Trans. Inf. Theory 28:129, 1982), by scikit-learn."""

from __future__ import annotations

import numpy as np
from sklearn.cluster import KMeans

from lightning_brats.baselines.clusters import Clusters

STARTS = 3
"""Times that k-means begins anew, of which the tightest clusters are kept."""


class KMeansClusters(Clusters):
    """Every voxel belongs to the cluster whose centre is nearest; arguments as of `Clusters`."""

    def partition(self, sample: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
        """(N, K) memberships of 0 or 1."""
        found = KMeans(count, n_init=STARTS, random_state=self.seed).fit(sample)
        return np.eye(count, dtype=np.float32)[found.predict(values)]
