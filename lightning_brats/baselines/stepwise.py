"""What thresholding and region growing share: two steps, each with one setting chosen by Dice.

Shapes: `x y z` a prepared, cropped volume.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from lightning_brats.baselines.scan import Scan, drawn
from lightning_brats.baselines.symmetry import excess
from lightning_brats.baselines.tissue import (
    NEEDS,
    RING,
    best,
    compose,
    dice,
    region,
    ring_radius,
)

Setting = TypeVar("Setting", int, float)
Find = Callable[[Setting], np.ndarray]
"""Setting → (x, y, z) bool."""


class Stepwise(ABC, Generic[Setting]):
    """The whole tumour on FLAIR, then on contrast-enhanced T1 what enhances in it.

    Args:
        whole: Settings tried for the first step.
        enhancing: Settings tried for the second one.
        smoothing: Standard deviation in mm of the smoothing before it.
        cases: Training cases looked at, at most.
    """

    needs: ClassVar[tuple[str, ...]] = NEEDS
    names: ClassVar[tuple[str, str]]
    """What the two settings are called in `summary.json`."""

    def __init__(
        self,
        whole: Sequence[Setting],
        enhancing: Sequence[Setting],
        smoothing: float,
        cases: int,
    ) -> None:
        self.tried: tuple[Sequence[Setting], Sequence[Setting]] = tuple(whole), tuple(enhancing)
        self.smoothing, self.cases = smoothing, cases
        self.chosen: tuple[Setting, Setting] = whole[0], enhancing[0]
        self.ring = RING

    @abstractmethod
    def find_whole(self, scan: Scan, uneven: np.ndarray) -> Find:
        """How the whole tumour follows from the setting; what does not is worked out once."""

    @abstractmethod
    def find_enhancing(self, scan: Scan, whole: np.ndarray) -> Find:
        """How what enhances in a whole tumour (x, y, z) follows from the setting."""

    def fit(self, scans: Sequence[Scan], seed: int) -> dict[str, Any]:
        """Choose both settings by Dice: of the whole tumour, then of what enhances."""
        seen = drawn(scans, self.cases, seed)
        first, whole = best(self.tried[0], (self._scored_whole(scans[i]) for i in seen))
        second, enhancing = best(
            self.tried[1], (self._scored_enhancing(scans[i], first) for i in seen)
        )
        self.chosen = first, second
        self.ring = ring_radius(scans, seen)
        return {
            **dict(zip(self.names, self.chosen, strict=True)),
            "ring_mm": self.ring,
            "training_dice": {"WT": round(whole, 4), "ET": round(enhancing, 4)},
        }

    def segment(self, scan: Scan) -> np.ndarray:
        """(x, y, z) uint8 internal labels."""
        first, second = self.chosen
        whole = self.find_whole(scan, excess(scan))(first)
        return compose(whole, self.find_enhancing(scan, whole)(second), scan.spacing, self.ring)

    def _scored_whole(self, scan: Scan) -> Callable[[Setting], float]:
        return _scored(scan, "WT", self.find_whole(scan, excess(scan)))

    def _scored_enhancing(self, scan: Scan, first: Setting) -> Callable[[Setting], float]:
        whole = self.find_whole(scan, excess(scan))(first)
        return _scored(scan, "ET", self.find_enhancing(scan, whole))


def _scored(scan: Scan, name: str, find: Find) -> Callable[[Setting], float]:
    """Setting → Dice of a region."""
    assert scan.labels is not None
    reference = region(scan.labels, name)
    return lambda setting: dice(reference, find(setting))
