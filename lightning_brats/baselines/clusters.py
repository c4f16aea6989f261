"""What both clustering methods share: voxels to clusters, and which clusters are tumour.

A brain's voxels fall into clusters by their intensities on all modalities, and by how much they
exceed the other side on FLAIR. Which of them are tumour the priors say: of the 1, 2, … clusters
that are brightest on FLAIR, those whose union has the size of a tumour and
exceeds the other side as one does. The tumour's own voxels are clustered once more, to find what
enhances.

Shapes: `N` voxels, `F` features, `K` clusters, `x y z` a prepared, cropped volume.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from lightning_brats.baselines.priors import Priors
from lightning_brats.baselines.scan import Scan, drawn
from lightning_brats.baselines.symmetry import excess
from lightning_brats.baselines.tissue import (
    GAPS,
    NEEDS,
    RING,
    closed,
    compose,
    main_parts,
    ring_radius,
)

SHOWN = 6.0
"""Robust standard deviations at which intensities are cut off: vessels would be clusters else."""


class Clusters(ABC):
    """Clusters of a scan's voxels, named by priors.

    Args:
        clusters: Of the whole brain.
        parts: Of the tumour.
        smoothing: Standard deviation in mm of the smoothing before it, and of memberships after.
        voxels: Drawn from a brain to find the clusters with, at most.
        cases: Training cases that the priors are taken from, at most.
    """

    needs: ClassVar[tuple[str, ...]] = NEEDS

    def __init__(
        self,
        clusters: int = 8,
        parts: int = 5,
        smoothing: float = 1.0,
        voxels: int = 20_000,
        cases: int = 100,
    ) -> None:
        self.clusters, self.parts = clusters, parts
        self.smoothing, self.voxels, self.cases = smoothing, voxels, cases
        self.seed = 0
        self.priors: Priors | None = None
        self.ring = RING

    @abstractmethod
    def partition(self, sample: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
        """Find clusters in a sample, and say of all voxels how much they belong to each.

        Args:
            sample: (n, F) voxels to find them in.
            values: (N, F) all voxels.
            count: K.

        Returns:
            (N, K) memberships that add up to 1.
        """

    def fit(self, scans: Sequence[Scan], seed: int) -> dict[str, Any]:
        """Learn size, excess over the other side, enhancement and gaps of rings of tumours.

        Raises:
            DataError: No training case has a tumour.
        """
        self.seed = seed
        chosen = drawn(scans, self.cases, seed)
        self.priors = Priors.of(scans, chosen)
        self.ring = ring_radius(scans, chosen)
        return {**self.priors.to_dict(), "ring_mm": self.ring}

    def segment(self, scan: Scan) -> np.ndarray:
        """(x, y, z) uint8 internal labels."""
        smooth = {
            name: np.clip(scan.smooth(scan.standard(name), self.smoothing), -SHOWN, SHOWN)
            for name in scan.channels
        }
        whole = self._whole(scan, smooth)
        return compose(whole, self._enhancing(scan, smooth, whole), scan.spacing, self.ring)

    def _whole(self, scan: Scan, smooth: dict[str, np.ndarray]) -> np.ndarray:
        assert self.priors is not None, "fit comes first"
        uneven = excess(scan)
        values = np.stack([*(c[scan.brain] for c in smooth.values()), uneven[scan.brain]], axis=1)
        members = self._members(values, self.clusters)
        centres = _centres(members, (smooth["t2f"] + uneven)[scan.brain])
        best, most = np.zeros(scan.brain.shape, bool), -np.inf
        belongs = np.zeros(len(values))
        for cluster in np.argsort(-centres, kind="stable")[:-1]:  # all together are the brain
            belongs = belongs + members[:, cluster]
            mask = main_parts(self._likely(scan, scan.brain, belongs), uneven, scan.spacing)
            plausible = self.priors.plausibility(mask, scan, uneven)
            if plausible > most:
                best, most = mask, plausible
        return best

    def _enhancing(
        self, scan: Scan, smooth: dict[str, np.ndarray], whole: np.ndarray
    ) -> np.ndarray:
        assert self.priors is not None
        inside = closed(whole, GAPS, scan.spacing) & scan.brain
        if int(inside.sum()) <= self.parts:
            return np.zeros(whole.shape, bool)
        values = np.stack([channel[inside] for channel in smooth.values()], axis=1)
        members = self._members(values, self.parts)
        bright = _centres(members, smooth["t1c"][inside]) > self.priors.enhancement
        return self._likely(scan, inside, members[:, bright].sum(1))

    def _members(self, values: np.ndarray, count: int) -> np.ndarray:
        rng = np.random.default_rng(self.seed)
        few = len(values) <= self.voxels
        sample = values if few else values[rng.choice(len(values), self.voxels, replace=False)]
        return self.partition(sample, values, count)

    def _likely(self, scan: Scan, where: np.ndarray, belongs: np.ndarray) -> np.ndarray:
        """(x, y, z) bool: membership above a half, neighbours taken into account."""
        soft = np.zeros(where.shape, np.float32)
        soft[where] = belongs
        return where & (scan.smooth(soft, self.smoothing) > 0.5)


def _centres(members: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(K,) mean of one feature (N,) over each cluster; −∞ for one without voxels."""
    total = members.sum(0)
    sums = values.astype(np.float64) @ members
    return np.divide(sums, total, out=np.full(len(total), -np.inf), where=total > 0)
