"""Region growing from automatic seeds.

Adams and Bischof, "Seeded region growing", IEEE Trans. PAMI 16:641, 1994, in the simple form that
SimpleITK has as `ConnectedThreshold`: the voxels connected to a seed that are about as bright.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np
import SimpleITK as sitk
from skimage.feature import peak_local_max

from lightning_brats.baselines.scan import Scan, drawn
from lightning_brats.baselines.symmetry import excess
from lightning_brats.baselines.tissue import (
    GAPS,
    NEEDS,
    best,
    closed,
    compose,
    dice,
    main_parts,
    region,
)

APART = 12.0
"""Least distance of two seeds in mm."""
FEWEST_SD = 2.0
"""Robust standard deviations above the brain's median from which on a spot may enhance."""


class RegionGrowing:
    """Grow from the brightest one-sided spots on FLAIR, then from the brightest one on T1c.

    How far a region reaches is chosen on training cases.

    Args:
        reaches: Tried: share of the way down from the seed's intensity to the brain's median at
            which growing stops.
        seeds: Spots on FLAIR to grow from, at most; a second one has to be nearly as conspicuous.
        smoothing: Standard deviation in mm of the smoothing before it.
        cases: Training cases looked at, at most.
    """

    needs: ClassVar[tuple[str, ...]] = NEEDS

    def __init__(
        self,
        reaches: Sequence[float] = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
        seeds: int = 3,
        smoothing: float = 1.0,
        cases: int = 20,
    ) -> None:
        self.reaches, self.seeds = tuple(reaches), seeds
        self.smoothing, self.cases = smoothing, cases
        self.whole_reach = self.core_reach = self.reaches[0]

    def fit(self, scans: Sequence[Scan], seed: int) -> dict[str, Any]:
        """Choose both reaches by Dice: of the whole tumour, then of what enhances."""
        chosen = drawn(scans, self.cases, seed)
        self.whole_reach, whole = best(self.reaches, self._tried(scans, chosen, "WT"))
        self.core_reach, enhancing = best(self.reaches, self._tried(scans, chosen, "ET"))
        return {
            "whole_reach": self.whole_reach,
            "core_reach": self.core_reach,
            "training_dice": {"WT": round(whole, 4), "ET": round(enhancing, 4)},
        }

    def segment(self, scan: Scan) -> np.ndarray:
        """(x, y, z) uint8 internal labels."""
        uneven = excess(scan)
        whole = self._whole(scan, uneven, self._spots(scan, uneven), self.whole_reach)
        return compose(whole, self._enhancing(scan, whole, self.core_reach), scan.spacing)

    def _tried(self, scans: Sequence[Scan], chosen: Sequence[int], name: str) -> Iterator:
        for index in chosen:
            scan = scans[index]
            uneven = excess(scan)
            spots = self._spots(scan, uneven)
            if name == "WT":
                yield partial(self._score_whole, scan, uneven, spots)
            else:
                whole = self._whole(scan, uneven, spots, self.whole_reach)
                yield partial(self._score_enhancing, scan, whole)

    def _score_whole(
        self, scan: Scan, uneven: np.ndarray, spots: np.ndarray, reach: float
    ) -> float:
        assert scan.labels is not None
        return dice(region(scan.labels, "WT"), self._whole(scan, uneven, spots, reach))

    def _score_enhancing(self, scan: Scan, whole: np.ndarray, reach: float) -> float:
        assert scan.labels is not None
        return dice(region(scan.labels, "ET"), self._enhancing(scan, whole, reach))

    def _spots(self, scan: Scan, uneven: np.ndarray) -> np.ndarray:
        """(n, 3) voxels that are bright on FLAIR and brighter than the other side."""
        score = scan.smooth(scan.standard("t2f"), APART / 4) + uneven
        apart = max(1, round(APART / min(scan.spacing)))
        peaks = peak_local_max(
            score, min_distance=apart, threshold_rel=0.8, exclude_border=False, num_peaks=self.seeds
        )
        return peaks if len(peaks) else np.argwhere(score == score.max())[:1]

    def _whole(self, scan: Scan, uneven: np.ndarray, spots: np.ndarray, reach: float) -> np.ndarray:
        smooth = scan.smooth(scan.standard("t2f"), self.smoothing)
        lower = (1 - reach) * float(smooth[tuple(spots[0])])
        grown = _grown(smooth, spots, lower) & scan.brain
        return main_parts(grown, uneven, scan.spacing)

    def _enhancing(self, scan: Scan, whole: np.ndarray, reach: float) -> np.ndarray:
        smooth = scan.smooth(scan.standard("t1c"), self.smoothing)
        inside = np.where(closed(whole, GAPS, scan.spacing) & scan.brain, smooth, -np.inf)
        spot = np.array([np.unravel_index(np.argmax(inside), inside.shape)])
        highest = float(inside[tuple(spot[0])])
        if highest < FEWEST_SD:
            return np.zeros(whole.shape, bool)
        return _grown(inside, spot, (1 - reach) * highest)


def _grown(values: np.ndarray, spots: np.ndarray, lower: float) -> np.ndarray:
    """(x, y, z) bool: voxels not below a limit, connected by their faces with one of the spots."""
    limited = np.maximum(values, np.finfo(np.float32).min).astype(np.float32)
    image = sitk.GetImageFromArray(limited)  # whose indices run z, y, x
    seeds = [tuple(int(i) for i in spot[::-1]) for spot in spots]
    upper = float(np.finfo(np.float32).max)
    grown = sitk.ConnectedThreshold(image, seeds, lower=lower, upper=upper, replaceValue=1)
    return sitk.GetArrayFromImage(grown) > 0
