"""Where a prediction errs: signed boundary distances, misclassified voxels, confused labels.

Distances run between surfels, as those of HD95 and surface dice do, and count by area. Their sign
says which way the prediction errs: positive where it is too large, negative where it is too small.

Shapes: `N` surfels, `R` regions, `L` labels, `X Y Z` voxels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lightning_brats.labels import TISSUES, region_masks
from lightning_brats.metrics.surface import Spacing, nearest, weighted_percentile
from lightning_brats.metrics.surfels import surfels

AGREE, MISSED, FALSE = range(3)
"""Values of an error map."""


@dataclass(frozen=True)
class BoundaryErrors:
    """Signed distances between the surfaces of prediction and reference.

    Args:
        distances: (N,) mm, positive where the prediction reaches beyond the reference, negative
            where it stays inside; signed infinities where there is no other surface.
        areas: (N,) mm² that each distance stands for.
        points: (N, 3) corners of the voxel grid; voxel `i` spans the corners `i` to `i + 1`.
    """

    distances: np.ndarray
    areas: np.ndarray
    points: np.ndarray

    def percentile(self, share: float) -> float:
        """Distance (mm) below which this share of the area lies; NaN without a surface."""
        if not len(self.distances):
            return float("nan")
        return weighted_percentile(self.distances, self.areas, share)

    def share_within(self, tolerance: float) -> float:
        """Share of the area at most `tolerance` mm from the reference; NaN without a surface."""
        if not len(self.distances):
            return float("nan")
        return float(self.areas[np.abs(self.distances) <= tolerance].sum() / self.areas.sum())

    @property
    def mean_distance(self) -> float:
        """Mean distance (mm) without its sign; NaN without a surface.

        Of both surfaces together, the average symmetric surface distance (ASSD), every surfel
        counting by its area.
        """
        if not len(self.distances):
            return float("nan")
        return float(np.average(np.abs(self.distances), weights=self.areas))

    def histogram(self, edges: np.ndarray) -> np.ndarray:
        """Area (bins,) in mm² by distance; the outer bins hold what lies beyond the edges too.

        Args:
            edges: (bins + 1,) mm, rising; a bin holds its lower edge and not its upper one.
        """
        place = np.searchsorted(edges, self.distances, side="right") - 1
        return np.bincount(place.clip(0, len(edges) - 2), self.areas, len(edges) - 1)


def boundary_errors(
    reference: np.ndarray, prediction: np.ndarray, spacing: Spacing
) -> BoundaryErrors:
    """Signed distances from every surfel of the prediction to the reference.

    Args:
        reference: (X, Y, Z) bool.
        prediction: (X, Y, Z) bool.
        spacing: Voxel edge lengths in mm.
    """
    surface = surfels(prediction, spacing)
    distances, _ = nearest(surface.points, surfels(reference, spacing), spacing)
    # The voxels around a corner that is not on the reference's surface are all in or all out.
    inside = np.pad(reference, 1)[tuple(surface.points.T)]
    signed = np.where(inside, 0 - distances, distances)
    return BoundaryErrors(signed, surface.weights, surface.points)


def surface_errors(
    reference: np.ndarray, prediction: np.ndarray, spacing: Spacing
) -> BoundaryErrors:
    """Signed distances from both surfaces, each to the other.

    `boundary_errors` looks from the prediction, and so cannot see a lesion that was not predicted;
    here its surface counts, with negative distances.

    Args:
        reference: (X, Y, Z) bool.
        prediction: (X, Y, Z) bool.
        spacing: Voxel edge lengths in mm.
    """
    beyond = boundary_errors(reference, prediction, spacing)
    # Where the reference reaches beyond the prediction, the prediction is too small.
    missing = boundary_errors(prediction, reference, spacing)
    return BoundaryErrors(
        np.concatenate([beyond.distances, 0 - missing.distances]),
        np.concatenate([beyond.areas, missing.areas]),
        np.concatenate([beyond.points, missing.points]),
    )


def error_map(reference: np.ndarray, prediction: np.ndarray, regions: Sequence[str]) -> np.ndarray:
    """(R, X, Y, Z) uint8: `AGREE`, `MISSED` (only in the reference) or `FALSE` (only predicted).

    Args:
        reference: (X, Y, Z) internal labels.
        prediction: (X, Y, Z) internal labels.
        regions: Names.
    """
    first, second = region_masks(reference, regions), region_masks(prediction, regions)
    return np.where(first == second, AGREE, np.where(first, MISSED, FALSE)).astype(np.uint8)


def error_shares(
    reference: np.ndarray, prediction: np.ndarray, regions: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Region → `missed` and `false`: shares of the voxels that either mask holds.

    The two and the IoU add up to 1; both are 0 where both masks are empty.
    """
    shares = {}
    for region in regions:
        first, second = (region_masks(v, [region])[0] for v in (reference, prediction))
        missed, false = int((first & ~second).sum()), int((second & ~first).sum())
        either = max(1, int((first | second).sum()))
        shares[region] = {"missed": missed / either, "false": false / either}
    return shares


def confusion_matrix(reference: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """(L, L) voxels of each label (row: reference, column: prediction), in `TISSUES`' order."""
    n = len(TISSUES)
    codes = reference.astype(np.intp).ravel() * n + prediction.ravel()
    return np.bincount(codes, minlength=n * n).reshape(n, n)
