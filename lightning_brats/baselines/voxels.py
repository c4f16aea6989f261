"""What both classifiers of voxels share: training voxels, and labels from a classifier's evidence.

A voxel is first tumour or not, and then of one of its labels. Asked in one step, a voxel that is
certainly tumour would be called healthy where three labels share the evidence.

Shapes: `N` voxels, `F` features, `L` labels that occur but background, `x y z` a prepared, cropped
volume.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from lightning_brats.baselines.features import features
from lightning_brats.baselines.scan import Scan, drawn
from lightning_brats.errors import DataError
from lightning_brats.labels import BACKGROUND, TISSUES

CHUNK = 200_000
"""Voxels classified at once, to bound memory."""


class VoxelClassifier(ABC):
    """Learns from a sample of training voxels what label a voxel's features speak for.

    Rare labels are drawn more often than they occur; weights give that back, in part.

    Args:
        voxels: Training voxels in all.
        cases: Training cases they are drawn from, at most.
        smoothing: Standard deviation in mm over which scores of neighbouring voxels are averaged.
        restored: 1 gives every label the weight it has in the brain, 0 that which it was drawn
            with. In between, tumours grow as the number falls.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, voxels: int = 200_000, cases: int = 200, smoothing: float = 1.0, restored: float = 1.0
    ) -> None:
        self.voxels, self.cases = voxels, cases
        self.smoothing, self.restored = smoothing, restored
        self.labels = np.zeros(0, np.uint8)

    @abstractmethod
    def train(
        self, values: np.ndarray, labels: np.ndarray, weights: np.ndarray, seed: int
    ) -> dict[str, Any]:
        """Learn from voxels (N, F), their labels (N,) and weights (N,); returns what to record."""

    @abstractmethod
    def evidence(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How much voxels (N, F) speak for a label.

        Returns:
            (N,) for any label at all, above 0 where they are rather labelled than not; and (N, L)
            for each of them, in rising order.
        """

    def fit(self, scans: Sequence[Scan], seed: int) -> dict[str, Any]:
        """Draw voxels from training cases, and learn.

        Raises:
            DataError: The training cases have one label throughout.
        """
        chosen = drawn(scans, self.cases, seed)
        rng = np.random.default_rng(seed)
        share = max(self.voxels // len(chosen), 1)
        parts = [self._draw(scans[index], share, rng) for index in chosen]
        values, labels, weights = (np.concatenate(part) for part in zip(*parts, strict=True))
        found_labels, counts = np.unique(labels, return_counts=True)
        self.labels = np.union1d([BACKGROUND], found_labels).astype(np.uint8)
        if len(self.labels) < 2:
            raise DataError(
                "the training cases have no tumour to learn from",
                remedy="check the masks, or the label coding (data.labels)",
            )
        found = self.train(values, labels, weights, seed)
        named = zip((TISSUES[label] for label in found_labels), counts.tolist(), strict=True)
        return {"cases": len(chosen), "voxels": dict(named), **found}

    def segment(self, scan: Scan) -> np.ndarray:
        """(x, y, z) uint8 internal labels."""
        values = features(scan)
        starts = range(0, len(values), CHUNK)
        parts = [self.evidence(values[start : start + CHUNK]) for start in starts]
        any_, each = (np.concatenate(part) for part in zip(*parts, strict=True))
        # Rounded, so that the order in which threads add up their shares decides nothing.
        inside = np.round(self._averaged(scan, any_), 5) > 0
        columns = [np.round(self._averaged(scan, column), 5) for column in each.T]
        kind = self.labels[1:][np.argmax(columns, axis=0)]
        out = np.zeros(scan.brain.shape, np.uint8)
        out[scan.brain] = np.where(inside, kind, BACKGROUND)
        return out

    def _averaged(self, scan: Scan, values: np.ndarray) -> np.ndarray:
        """(N,) values of the brain's voxels, averaged over their neighbours."""
        volume = np.zeros(scan.brain.shape, np.float32)
        volume[scan.brain] = values
        return scan.smooth(volume, self.smoothing)[scan.brain]

    def _draw(
        self, scan: Scan, most: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Features, labels and weights of voxels of one case: half of them healthy."""
        assert scan.labels is not None
        labels = scan.labels[scan.brain]
        present = np.unique(labels)
        tumours = max(len(present) - 1, 1)
        picked, weights = [], []
        for label in present:
            own = np.flatnonzero(labels == label)
            count = min(len(own), max(most // 2 if label == 0 else most // (2 * tumours), 1))
            picked.append(rng.choice(own, count, replace=False))
            weights.append(np.full(count, (len(own) / count) ** self.restored))
        rows = np.concatenate(picked)
        weight = np.concatenate(weights)
        return features(scan)[rows], labels[rows], weight * len(weight) / weight.sum()
