"""Reference and prediction of one region, as objects: what is measured whole, and part by part.

Shapes: `n` reference objects, `m` predicted ones.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
from scipy import sparse

from lightning_brats.metrics.objects import Objects
from lightning_brats.metrics.overlap import overlap, volume
from lightning_brats.metrics.surface import SurfaceDistances
from lightning_brats.metrics.surfels import Surface, border_voxels, surfels
from lightning_brats.metrics.volumes import LabelPair

TOLERANCES = {"nsd_0.5": 0.5, "nsd_1.0": 1.0}
"""Normalised surface dice: name → tolerance in mm."""


class RegionPair:
    """Objects of the reference and of the prediction, on the crops of one case.

    Args:
        reference: Lesions or components.
        prediction: The same.
        case: Where the crops lie.
        grown: The reference's lesions dilated for matching, where a protocol asks for it.
        borders: Surface dice from border voxels (BraTS 2024) instead of surfels.
    """

    def __init__(
        self,
        reference: Objects,
        prediction: Objects,
        case: LabelPair,
        grown: Objects | None = None,
        borders: bool = False,
    ) -> None:
        self.reference, self.prediction = reference, prediction
        self.grown = grown or reference
        self.case, self.borders = case, borders
        self.reference_sizes, self.prediction_sizes = reference.sizes(), prediction.sizes()

    def whole(self) -> dict[str, float]:
        """Whole-volume metrics of the region."""
        counts = overlap(
            reference=int(self.reference_sizes.sum()),
            prediction=int(self.prediction_sizes.sum()),
            hit=int(self.shared[:, 2].sum()),
            voxels=int(np.prod(self.case.shape)),
            spacing=self.case.spacing,
        )
        return counts | self._scores(self._distances)

    def part(self, lesions: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
        """hd95 (mm), nsd_0.5 and nsd_1.0 of some reference objects against some predicted ones.

        Args:
            lesions: Numbers of reference objects.
            predicted: Numbers of predicted objects.
        """
        return self._scores([d.part(lesions, predicted) for d in self._distances])

    def volume(self, voxels: int) -> float:
        """Volume in mm³."""
        return volume(int(voxels), self.case.spacing)

    @cached_property
    def shared(self) -> np.ndarray:
        """(k, 3) int: reference object, predicted object, voxels that they share."""
        return self._meetings(self.reference)

    @cached_property
    def reached(self) -> np.ndarray:
        """(k, 3) int: reference object, predicted object, voxels of it within the grown one."""
        return self._meetings(self.grown)

    def _meetings(self, reference: Objects) -> np.ndarray:
        first, second = [], []
        for one, other in zip(reference.labels, self.prediction.labels, strict=True):
            both = np.flatnonzero((one != 0) & (other != 0))
            first.append(one.ravel()[both])
            second.append(other.ravel()[both])
        pairs = np.concatenate(first), np.concatenate(second)
        shape = reference.count + 1, self.prediction.count + 1
        ones = np.ones(len(pairs[0]), np.int64)
        found = sparse.coo_array((ones, pairs), shape).tocsr().tocoo()
        return np.stack([found.row, found.col, found.data], axis=1)

    @cached_property
    def _distances(self) -> list[SurfaceDistances]:
        """Between the surfels, and between the border voxels where these are asked for."""
        spacing = self.case.spacing
        found = [self._between(lambda part: surfels(part, spacing), np.inf)]
        if self.borders:
            found.append(self._between(border_voxels, max(TOLERANCES.values())))
        return found

    def _between(self, extract: Callable[[np.ndarray], Surface], limit: float) -> SurfaceDistances:
        first, second = (
            Surface.join(
                [
                    extract(labels).shift(crop.origin)
                    for labels, crop in zip(objects.labels, self.case.crops, strict=True)
                ]
            )
            for objects in (self.reference, self.prediction)
        )
        return SurfaceDistances.between(first, second, self.case.spacing, limit)

    def _scores(self, distances: list[SurfaceDistances]) -> dict[str, float]:
        scores = {"hd95": distances[0].hd95()}
        if self.borders:
            return scores | {k: distances[1].mean_share(v) for k, v in TOLERANCES.items()}
        return scores | {k: distances[0].surface_dice(v) for k, v in TOLERANCES.items()}
