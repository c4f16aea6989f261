"""Hand-made features and a linear support vector machine (Cortes and Vapnik, Machine Learning
20:273, 1995), by scikit-learn, which calls LIBLINEAR (Fan et al., JMLR 9:1871, 2008).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from lightning_brats.baselines.voxels import VoxelClassifier


class LinearMachine(VoxelClassifier):
    """One label against the others, by a plane in the space of features.

    Args:
        cost: Of a voxel on the wrong side, LIBLINEAR's C.
        iterations: At which training ends in any case.
        settings: Further arguments, of `VoxelClassifier`.
    """

    def __init__(self, cost: float = 1.0, iterations: int = 2000, **settings: Any) -> None:
        super().__init__(**settings)
        self.cost, self.iterations = cost, iterations
        self.machine: Pipeline | None = None

    def train(
        self, values: np.ndarray, labels: np.ndarray, weights: np.ndarray, seed: int
    ) -> dict[str, Any]:
        """Find the planes; features are brought to one scale first."""
        plane = LinearSVC(C=self.cost, dual=False, max_iter=self.iterations, random_state=seed)
        self.machine = make_pipeline(StandardScaler(), plane)
        self.machine.fit(values, labels, linearsvc__sample_weight=weights)
        return {"iterations": int(plane.n_iter_)}

    def scores(self, values: np.ndarray) -> np.ndarray:
        """(N, L) distances from the planes, in margins."""
        assert self.machine is not None, "fit comes first"
        found = self.machine.decision_function(values)
        return np.stack([-found, found], axis=1) if found.ndim == 1 else found
