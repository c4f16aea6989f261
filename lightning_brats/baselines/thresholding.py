"""Thresholds by Otsu's criterion: on FLAIR for the tumour, on contrast-enhanced T1 for its core.

Otsu, "A threshold selection method from gray-level histograms", IEEE Trans. SMC 9:62, 1979; for
several thresholds Liao et al., J. Inf. Sci. Eng. 17:713, 2001, by scikit-image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from skimage.filters import threshold_multiotsu

from lightning_brats.baselines.scan import Scan
from lightning_brats.baselines.stepwise import Find, Stepwise
from lightning_brats.baselines.tissue import GAPS, closed, main_parts

BINS = 64
"""Of the histogram; the search for five classes takes the fourth power of it."""
SHOWN = (0.1, 99.9)
"""Percentiles that the histogram spans."""


class Thresholding(Stepwise[int]):
    """The brightest class of each of two modalities.

    How many classes there are is chosen on training cases.

    Args:
        flair_classes: Numbers of classes tried on FLAIR.
        t1c_classes: Numbers of classes tried on contrast-enhanced T1.
        smoothing: Standard deviation in mm of the smoothing before it.
        cases: Training cases looked at, at most.
    """

    names: ClassVar[tuple[str, str]] = ("flair_classes", "t1c_classes")

    def __init__(
        self,
        flair_classes: Sequence[int] = (2, 3, 4, 5),
        t1c_classes: Sequence[int] = (2, 3, 4, 5),
        smoothing: float = 1.0,
        cases: int = 20,
    ) -> None:
        super().__init__(flair_classes, t1c_classes, smoothing, cases)

    def find_whole(self, scan: Scan, uneven: np.ndarray) -> Find:
        """The main parts of FLAIR's brightest class."""
        brightest = self._brightest(scan, "t2f")
        return lambda classes: main_parts(brightest(classes), uneven, scan.spacing)

    def find_enhancing(self, scan: Scan, whole: np.ndarray) -> Find:
        """The brightest class of contrast-enhanced T1, in the tumour and its gaps."""
        brightest, inside = self._brightest(scan, "t1c"), closed(whole, GAPS, scan.spacing)
        return lambda classes: brightest(classes) & inside

    def _brightest(self, scan: Scan, modality: str) -> Find:
        smooth = scan.smooth(scan.standard(modality), self.smoothing)
        inside = smooth[scan.brain]
        shown = np.clip(inside, *np.percentile(inside, SHOWN))

        def find(classes: int) -> np.ndarray:
            limits = threshold_multiotsu(shown, classes, nbins=BINS)
            return scan.brain & (smooth > limits[-1])

        return find
