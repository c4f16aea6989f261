"""Probabilities → labels: threshold, clean the region masks step by step, compose.

Shapes: `K` outputs, `R` regions, `X Y Z` space.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeVar

import numpy as np
from torch import Tensor

from lightning_brats.errors import ConfigError
from lightning_brats.labels import BACKGROUND, REGIONS, labels_from_regions, region_masks
from lightning_brats.postprocess.morphology import Closing, FillHoles, Opening
from lightning_brats.postprocess.steps import (
    DropSmall,
    Hierarchy,
    KeepLargest,
    ReplaceSmallET,
    Spacing,
    Step,
    check_regions,
)

Head = Literal["regions", "labels"]
Array = TypeVar("Array", np.ndarray, Tensor)

PACKAGE = "lightning_brats.postprocess"
STEPS = (DropSmall, KeepLargest, FillHoles, Opening, Closing, Hierarchy, ReplaceSmallET)


@dataclass(frozen=True)
class Postprocess:
    """Turn a network's probabilities into labels.

    Args:
        steps: Applied in this order to the region masks.
        threshold: Probability above which a voxel is in a region, one for all or by region (0.5
            for regions not named). By default 0.5 for a `regions` head, the most probable label
            for a `labels` head.

    Raises:
        ConfigError: A threshold outside [0, 1], or an unknown region.
    """

    steps: Sequence[Step] = ()
    threshold: float | Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(self.steps))
        if isinstance(self.threshold, Mapping):
            check_regions(self.threshold)
        outside = [t for t in self.thresholds(REGIONS).values() if not 0 <= t <= 1]
        if outside:
            raise ConfigError(f"postprocess: threshold {outside[0]} is not between 0 and 1")

    def __call__(
        self, probabilities: np.ndarray, spacing: Spacing, regions: Sequence[str], head: Head
    ) -> np.ndarray:
        """Labels of one case.

        Args:
            probabilities: (K, X, Y, Z), K the regions or, for a `labels` head, the labels from 0.
            spacing: Voxel size in mm.
            regions: Regions to clean and compose, in the network's order.
            head: What the K outputs are.

        Returns:
            (X, Y, Z) `uint8`, internal labels.

        Raises:
            ConfigError: Number of outputs and regions disagree.
        """
        masks = self._masks(probabilities, regions, head)
        labels = np.full(masks.shape[1:], BACKGROUND, np.uint8)
        box = bounding_box(np.any(masks, axis=0))
        if box is None:
            return labels
        named = {region: mask[box] for region, mask in zip(regions, masks, strict=True)}
        for step in self.steps:
            named = dict(step(named, spacing))
        labels[box] = labels_from_regions(np.stack([named[r] for r in regions]), regions)
        return labels

    def thresholds(self, regions: Sequence[str] | Mapping[str, Any]) -> dict[str, float]:
        """Threshold of each region."""
        if isinstance(self.threshold, Mapping):
            return {region: self.threshold.get(region, 0.5) for region in regions}
        return dict.fromkeys(regions, 0.5 if self.threshold is None else self.threshold)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, to be stored as JSON or used as a Hydra config.

        Raises:
            ConfigError: A step is not one of this package's.
        """
        stored = []
        for step in self.steps:
            if not isinstance(step, STEPS):
                raise ConfigError(f"postprocess: {step!r} cannot be stored")
            stored.append({"_target_": f"{PACKAGE}.{type(step).__name__}", **asdict(step)})
        limit = self.threshold
        return {
            "_target_": f"{PACKAGE}.Postprocess",
            "_convert_": "all",
            "steps": stored,
            "threshold": dict(limit) if isinstance(limit, Mapping) else limit,
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Postprocess:
        """Rebuild what `to_dict` gave.

        Raises:
            ConfigError: An unknown step or setting.
        """
        kinds = {f"{PACKAGE}.{kind.__name__}": kind for kind in STEPS}
        steps = []
        for entry in stored.get("steps", ()):
            settings = {key: value for key, value in entry.items() if key != "_target_"}
            try:
                steps.append(kinds[entry["_target_"]](**settings))
            except (KeyError, TypeError) as error:
                raise ConfigError(f"postprocess: {dict(entry)} is no known step") from error
        return cls(steps, stored.get("threshold"))

    def _masks(self, probabilities: np.ndarray, regions: Sequence[str], head: Head) -> np.ndarray:
        if head == "labels" and self.threshold is None:
            _check_outputs(probabilities, regions, head)
            return region_masks(probabilities.argmax(0), regions)
        soft = region_probabilities(probabilities, regions, head)
        limits = self.thresholds(regions)
        return np.stack([p > limits[r] for r, p in zip(regions, soft, strict=True)])


def region_probabilities(probabilities: Array, regions: Sequence[str], head: Head) -> list[Array]:
    """Probability of each region, R times (X, Y, Z), from outputs (K, X, Y, Z) of either head.

    Raises:
        ConfigError: Number of outputs and regions disagree.
    """
    _check_outputs(probabilities, regions, head)
    if head == "regions":
        return list(probabilities)
    return [
        functools.reduce(operator.add, (probabilities[label] for label in REGIONS[region]))
        for region in regions
    ]


def bounding_box(mask: np.ndarray, margin: int = 0) -> tuple[slice, ...] | None:
    """Box around the voxels of a mask, `None` where there are none."""
    box = []
    for axis in range(mask.ndim):
        others = tuple(a for a in range(mask.ndim) if a != axis)
        found = np.flatnonzero(mask.any(others))
        if not len(found):
            return None
        box.append(slice(max(int(found[0]) - margin, 0), int(found[-1]) + 1 + margin))
    return tuple(box)


def _check_outputs(probabilities: np.ndarray | Tensor, regions: Sequence[str], head: Head) -> None:
    if head not in ("regions", "labels"):
        raise ConfigError(f"head={head}: choose regions or labels")
    outputs = len(probabilities)
    needed = len(regions)
    if head == "labels":
        needed = 1 + max(label for region in regions for label in REGIONS[region])
    if outputs < needed or (head == "regions" and outputs != needed):
        raise ConfigError(f"{outputs} outputs of a {head} head cannot make {list(regions)}")
