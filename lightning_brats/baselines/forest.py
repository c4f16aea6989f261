"""Hand-made features and a random forest (Breiman, Machine Learning 45:5, 2001; scikit-learn)."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from lightning_brats.baselines.voxels import VoxelClassifier
from lightning_brats.parallel import cores


class RandomForest(VoxelClassifier):
    """Votes of decision trees.

    Args:
        trees: Their number.
        leaf: Fewest training voxels in a leaf.
        threads: By default one a core; they change nothing but time.
        settings: Further arguments, of `VoxelClassifier`.
    """

    def __init__(
        self, trees: int = 100, leaf: int = 5, threads: int | None = None, **settings: Any
    ) -> None:
        super().__init__(**settings)
        self.trees, self.leaf, self.threads = trees, leaf, threads
        self.forest: RandomForestClassifier | None = None

    def train(
        self, values: np.ndarray, labels: np.ndarray, weights: np.ndarray, seed: int
    ) -> dict[str, Any]:
        """Grow the trees."""
        self.forest = RandomForestClassifier(
            self.trees,
            min_samples_leaf=self.leaf,
            n_jobs=self.threads or cores(),
            random_state=seed,
        ).fit(values, labels, sample_weight=weights)
        return {"nodes": sum(tree.tree_.node_count for tree in self.forest.estimators_)}

    def evidence(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Shares of the votes: (N,) for any label, less a half, and (N, L) for each."""
        assert self.forest is not None, "fit comes first"
        votes = self.forest.predict_proba(values)
        return 0.5 - votes[:, 0], votes[:, 1:]
