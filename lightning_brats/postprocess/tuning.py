"""Thresholds and smallest components, chosen on validation cases.

Shapes: `K` outputs, `X Y Z` space.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np

from lightning_brats.errors import DataError
from lightning_brats.labels import region_masks
from lightning_brats.postprocess.pipeline import (
    Head,
    Postprocess,
    bounding_box,
    region_probabilities,
)
from lightning_brats.postprocess.steps import DropSmall, Spacing, Step

Score = Callable[[np.ndarray, np.ndarray, Spacing], float]
"""Reference mask, predicted mask (X, Y, Z) and spacing → score, the higher the better."""

LEAST_GAIN = 1e-9
"""Improvement of the mean score that is not a rounding error."""

MARGIN = 2
"""Voxels kept around the tumour, so that surfaces do not touch the crop's border."""


@dataclass(frozen=True)
class TuningCase:
    """A validation case: what the network said, and what is there.

    Args:
        probabilities: (K, X, Y, Z).
        labels: (X, Y, Z) internal labels of the reference.
        spacing: Voxel size in mm.
    """

    probabilities: np.ndarray
    labels: np.ndarray
    spacing: Spacing


@dataclass(frozen=True)
class Grid:
    """Values tried for every region.

    Args:
        thresholds: Probabilities.
        minima: Smallest components, in mm³.
    """

    thresholds: Sequence[float] = (0.3, 0.4, 0.5, 0.6, 0.7)
    minima: Sequence[float] = (0, 20, 50, 100, 200, 500)


@dataclass(frozen=True)
class Tuned:
    """The best post-processing found, with its mean score and that of the one it started from."""

    postprocess: Postprocess
    before: float
    after: float

    @property
    def gain(self) -> float:
        """Improvement on the cases it was tuned on; expect less on others."""
        return self.after - self.before


def tune(
    cases: Iterable[TuningCase],
    regions: Sequence[str],
    head: Head,
    score: Score,
    base: Postprocess | None = None,
    grid: Grid | None = None,
) -> Tuned:
    """Search thresholds and minimum sizes, region by region, until none improves the mean score.

    Only the tumour's surroundings are scored, so take a score that does not count background
    voxels (Dice, surface distances, lesion-wise scores; not accuracy or specificity).

    Args:
        cases: Validation cases, read once; must not be those the result will be tested on.
        regions: Regions, in the network's order.
        head: What the K outputs are.
        score: See `Score`; NaN leaves a case and region out.
        base: Where the search starts; its other steps are kept.
        grid: Values to try.

    Raises:
        DataError: There is no case, or no score that is not NaN.
    """
    base, grid = base or Postprocess(), grid or Grid()
    near = [near_tumour(case, regions, head, base, grid) for case in cases]

    def mean_score(candidate: Postprocess) -> float:
        scores = np.array([_scores(candidate, case, regions, head, score) for case in near])
        known = scores[~np.isnan(scores)]
        return float(known.mean()) if known.size else np.nan

    before = mean_score(base)
    if np.isnan(before):
        raise DataError("nothing to tune on: no case, or none with a score")
    values = {"threshold": grid.thresholds, "minimum": grid.minima}
    current = {"threshold": base.thresholds(regions), "minimum": _minima(base, regions)}
    best, after, improved = base, before, True
    while improved:
        improved = False
        for (kind, tried), region in itertools.product(values.items(), regions):
            for value in tried:
                trial = {**current, kind: {**current[kind], region: value}}
                candidate = _with(base, trial["threshold"], trial["minimum"])
                found = mean_score(candidate) if trial != current else after
                if found > after + LEAST_GAIN:
                    best, after, current, improved = candidate, found, trial, True
    return Tuned(best, before, after)


def _scores(
    candidate: Postprocess, case: TuningCase, regions: Sequence[str], head: Head, score: Score
) -> list[float]:
    labels = candidate(case.probabilities, case.spacing, regions, head)
    pairs = zip(region_masks(case.labels, regions), region_masks(labels, regions), strict=True)
    return [score(reference, predicted, case.spacing) for reference, predicted in pairs]


def _minima(base: Postprocess, regions: Sequence[str]) -> dict[str, float]:
    """Smallest components by region, in mm³, as the starting point has them."""
    step = next((step for step in base.steps if _is_tuned(step)), None)
    if step is None:
        return dict.fromkeys(regions, 0.0)
    if isinstance(step.minimum, Mapping):
        return {region: step.minimum.get(region, 0.0) for region in regions}
    return dict.fromkeys(regions, step.minimum)


def _with(base: Postprocess, threshold: dict[str, float], minimum: dict[str, float]) -> Postprocess:
    """The starting point with other thresholds and another `DropSmall`, which comes first."""
    kept = [step for step in base.steps if not _is_tuned(step)]
    return Postprocess([DropSmall(minimum), *kept], threshold)


def _is_tuned(step: Step) -> TypeGuard[DropSmall]:
    return isinstance(step, DropSmall) and step.unit == "mm3"


def near_tumour(
    case: TuningCase, regions: Sequence[str], head: Head, base: Postprocess, grid: Grid
) -> TuningCase:
    """The part of a case that any candidate of a search can call tumour, and the reference."""
    limit = min(*grid.thresholds, *base.thresholds(regions).values())
    if head == "labels":  # the most probable of K labels has a probability of 1/K or more
        limit = min(limit, 1 / len(case.probabilities))
    soft = region_probabilities(case.probabilities, regions, head)
    mask = np.logical_or.reduce([case.labels > 0, *(p > limit for p in soft)])
    box = bounding_box(mask, MARGIN) or (slice(0, 1),) * 3
    probabilities = np.ascontiguousarray(case.probabilities[:, *box])
    return TuningCase(probabilities, case.labels[box].copy(), case.spacing)
