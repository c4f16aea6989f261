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
    """A plane in the space of features between tumour and not, then planes between its labels.

    Args:
        cost: Of a voxel on the wrong side, LIBLINEAR's C.
        iterations: At which training ends in any case.
        settings: Further arguments, of `VoxelClassifier`.
    """

    def __init__(self, cost: float = 1.0, iterations: int = 2000, **settings: Any) -> None:
        super().__init__(**settings)
        self.cost, self.iterations = cost, iterations
        self.tumour: Pipeline | None = None
        self.kinds: Pipeline | None = None

    def train(
        self, values: np.ndarray, labels: np.ndarray, weights: np.ndarray, seed: int
    ) -> dict[str, Any]:
        """Find the planes; features are brought to one scale first."""
        inside = labels > 0
        self.tumour, first = self._planes(values, inside, weights, seed)
        own = values[inside], labels[inside], weights[inside]
        self.kinds, second = self._planes(*own, seed) if len(self.labels) > 2 else (None, 0)
        return {"iterations": [first, second]}

    def evidence(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distances from the planes, in margins: (N,) and (N, L)."""
        assert self.tumour is not None, "fit comes first"
        any_ = self.tumour.decision_function(values)
        if self.kinds is None:
            return any_, np.zeros((len(values), 1))
        each = self.kinds.decision_function(values)
        return any_, np.stack([-each, each], axis=1) if each.ndim == 1 else each

    def _planes(
        self, values: np.ndarray, labels: np.ndarray, weights: np.ndarray, seed: int
    ) -> tuple[Pipeline, int]:
        """Planes, and the steps that they took to find."""
        plane = LinearSVC(C=self.cost, dual=False, max_iter=self.iterations, random_state=seed)
        machine = make_pipeline(StandardScaler(), plane)
        machine.fit(values, labels, linearsvc__sample_weight=weights)
        return machine, int(plane.n_iter_)
