"""Reference and prediction of one region, as objects: what is measured whole, and part by part.

Shapes: `n` reference objects, `m` predicted ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
        return counts | self._whole_surface

    def part(self, lesions: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
        """hd95 (mm), nsd_0.5 and nsd_1.0 of some reference objects against some predicted ones.

        Args:
            lesions: Numbers of reference objects.
            predicted: Numbers of predicted objects.
        """
        if len(lesions) == self.reference.count and len(predicted) == self.prediction.count:
            return self._whole_surface
        return self._compare([(a.only(lesions), b.only(predicted)) for a, b in self._surfaces])

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
        meetings = sparse.csr_array((reference.count + 1, self.prediction.count + 1), dtype=int)
        for first, second in zip(reference.labels, self.prediction.labels, strict=True):
            both = (first != 0) & (second != 0)
            pairs = first[both], second[both]
            ones = np.ones(len(pairs[0]), np.int32)
            meetings += sparse.coo_array((ones, pairs), meetings.shape).tocsr()
        found = meetings.tocoo()
        return np.stack([found.row, found.col, found.data], axis=1).astype(np.int64)

    @cached_property
    def _whole_surface(self) -> dict[str, float]:
        return self._compare(self._surfaces)

    @cached_property
    def _surfaces(self) -> list[tuple[Surface, Surface]]:
        spacing = self.case.spacing
        both = self.reference.labels, self.prediction.labels
        first, second = (self._surface(lambda part: surfels(part, spacing), x) for x in both)
        if not self.borders:
            return [(first, second)]
        borders = [self._surface(border_voxels, x) for x in both]
        return [(first, second), (borders[0], borders[1])]

    def _surface(
        self, extract: Callable[[np.ndarray], Surface], labels: Sequence[np.ndarray]
    ) -> Surface:
        parts = zip(labels, self.case.crops, strict=True)
        return Surface.join([extract(part).shift(crop.origin) for part, crop in parts])

    def _compare(self, surfaces: list[tuple[Surface, Surface]]) -> dict[str, float]:
        spacing = self.case.spacing
        distances = SurfaceDistances.between(*surfaces[0], spacing)
        scores = {"hd95": distances.hd95()}
        if not self.borders:
            return scores | {k: distances.surface_dice(v) for k, v in TOLERANCES.items()}
        near = SurfaceDistances.between(*surfaces[1], spacing, limit=max(TOLERANCES.values()))
        return scores | {k: near.mean_share(v) for k, v in TOLERANCES.items()}
