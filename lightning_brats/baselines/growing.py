"""Region growing from automatic seeds.

Adams and Bischof, "Seeded region growing", IEEE Trans. PAMI 16:641, 1994, in the simple form that
SimpleITK has as `ConnectedThreshold`: the voxels connected to a seed that are about as bright.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import SimpleITK as sitk
from skimage.feature import peak_local_max

from lightning_brats.baselines.scan import Scan
from lightning_brats.baselines.stepwise import Find, Stepwise
from lightning_brats.baselines.tissue import GAPS, closed, main_parts

APART = 12.0
"""Least distance of two seeds in mm."""
FEWEST_SD = 2.0
"""Robust standard deviations above the brain's median from which on a spot may enhance."""


class RegionGrowing(Stepwise[float]):
    """Grow from the brightest one-sided spots on FLAIR, then from the brightest one on T1c.

    How far a region reaches is chosen on training cases.

    Args:
        reaches: Tried: share of the way down from the seed's intensity to the brain's median at
            which growing stops.
        seeds: Spots on FLAIR to grow from, at most; a second one has to be nearly as conspicuous.
        smoothing: Standard deviation in mm of the smoothing before it.
        cases: Training cases looked at, at most.
    """

    names: ClassVar[tuple[str, str]] = ("whole_reach", "core_reach")

    def __init__(
        self,
        reaches: Sequence[float] = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
        seeds: int = 3,
        smoothing: float = 1.0,
        cases: int = 20,
    ) -> None:
        super().__init__(reaches, reaches, smoothing, cases)
        self.seeds = seeds

    def find_whole(self, scan: Scan, uneven: np.ndarray) -> Find:
        """The main parts of what grows from the spots on FLAIR."""
        spots = self._spots(scan, uneven)
        smooth = scan.smooth(scan.standard("t2f"), self.smoothing)
        highest = float(smooth[tuple(spots[0])])

        def find(reach: float) -> np.ndarray:
            grown = _grown(smooth, spots, (1 - reach) * highest) & scan.brain
            return main_parts(grown, uneven, scan.spacing)

        return find

    def find_enhancing(self, scan: Scan, whole: np.ndarray) -> Find:
        """What grows from the brightest spot on contrast-enhanced T1, in the tumour."""
        smooth = scan.smooth(scan.standard("t1c"), self.smoothing)
        inside = np.where(closed(whole, GAPS, scan.spacing) & scan.brain, smooth, -np.inf)
        spot = np.array([np.unravel_index(np.argmax(inside), inside.shape)])
        highest = float(inside[tuple(spot[0])])

        def find(reach: float) -> np.ndarray:
            if highest < FEWEST_SD:
                return np.zeros(whole.shape, bool)
            return _grown(inside, spot, (1 - reach) * highest)

        return find

    def _spots(self, scan: Scan, uneven: np.ndarray) -> np.ndarray:
        """(n, 3) voxels that are bright on FLAIR and brighter than the other side."""
        score = scan.smooth(scan.standard("t2f"), APART / 4) + uneven
        apart = max(1, round(APART / min(scan.spacing)))
        peaks = peak_local_max(
            score, min_distance=apart, threshold_rel=0.8, exclude_border=False, num_peaks=self.seeds
        )
        return peaks if len(peaks) else np.argwhere(score == score.max())[:1]


def _grown(values: np.ndarray, spots: np.ndarray, lower: float) -> np.ndarray:
    """(x, y, z) bool: voxels not below a limit, connected by their faces with one of the spots."""
    limited = np.maximum(values, np.finfo(np.float32).min).astype(np.float32)
    image = sitk.GetImageFromArray(limited)  # whose indices run z, y, x
    seeds = [tuple(int(i) for i in spot[::-1]) for spot in spots]
    upper = float(np.finfo(np.float32).max)
    grown = sitk.ConnectedThreshold(image, seeds, lower=lower, upper=upper, replaceValue=1)
    return sitk.GetArrayFromImage(grown) > 0
