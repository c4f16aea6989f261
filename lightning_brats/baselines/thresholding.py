"""Thresholds by Otsu's criterion: on FLAIR for the tumour, on contrast-enhanced T1 for its core.

Otsu, "A threshold selection method from gray-level histograms", IEEE Trans. SMC 9:62, 1979; for
several thresholds Liao et al., J. Inf. Sci. Eng. 17:713, 2001, by scikit-image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np
from skimage.filters import threshold_multiotsu

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

BINS = 64
"""Of the histogram; the search for five classes takes the fourth power of it."""
SHOWN = (0.1, 99.9)
"""Percentiles that the histogram spans."""


class Thresholding:
    """The brightest class of each of two modalities.

    How many classes there are is chosen on training cases.

    Args:
        flair_classes: Numbers of classes tried on FLAIR.
        t1c_classes: Numbers of classes tried on contrast-enhanced T1.
        smoothing: Standard deviation in mm of the smoothing before it.
        cases: Training cases looked at, at most.
    """

    needs: ClassVar[tuple[str, ...]] = NEEDS

    def __init__(
        self,
        flair_classes: Sequence[int] = (2, 3, 4, 5),
        t1c_classes: Sequence[int] = (2, 3, 4, 5),
        smoothing: float = 1.0,
        cases: int = 20,
    ) -> None:
        self.flair_classes, self.t1c_classes = tuple(flair_classes), tuple(t1c_classes)
        self.smoothing, self.cases = smoothing, cases
        self.flair, self.t1c = self.flair_classes[0], self.t1c_classes[0]

    def fit(self, scans: Sequence[Scan], seed: int) -> dict[str, Any]:
        """Choose both numbers of classes by Dice: of the whole tumour, then of what enhances."""
        chosen = drawn(scans, self.cases, seed)
        self.flair, whole = best(self.flair_classes, self._tried(scans, chosen, "WT"))
        self.t1c, enhancing = best(self.t1c_classes, self._tried(scans, chosen, "ET"))
        return {
            "flair_classes": self.flair,
            "t1c_classes": self.t1c,
            "training_dice": {"WT": round(whole, 4), "ET": round(enhancing, 4)},
        }

    def segment(self, scan: Scan) -> np.ndarray:
        """(x, y, z) uint8 internal labels."""
        whole = self._whole(scan, excess(scan), self.flair)
        return compose(whole, self._enhancing(scan, whole, self.t1c), scan.spacing)

    def _tried(self, scans: Sequence[Scan], chosen: Sequence[int], name: str) -> Iterator:
        for index in chosen:
            scan = scans[index]
            uneven = excess(scan)
            if name == "WT":
                yield partial(self._score, scan, name, partial(self._whole, scan, uneven))
            else:
                whole = self._whole(scan, uneven, self.flair)
                yield partial(self._score, scan, name, partial(self._enhancing, scan, whole))

    def _score(
        self, scan: Scan, name: str, find: Callable[[int], np.ndarray], classes: int
    ) -> float:
        assert scan.labels is not None
        return dice(region(scan.labels, name), find(classes))

    def _whole(self, scan: Scan, uneven: np.ndarray, classes: int) -> np.ndarray:
        return main_parts(self._brightest(scan, "t2f", classes), uneven, scan.spacing)

    def _enhancing(self, scan: Scan, whole: np.ndarray, classes: int) -> np.ndarray:
        return self._brightest(scan, "t1c", classes) & closed(whole, GAPS, scan.spacing)

    def _brightest(self, scan: Scan, modality: str, classes: int) -> np.ndarray:
        smooth = scan.smooth(scan.standard(modality), self.smoothing)
        inside = smooth[scan.brain]
        low, high = np.percentile(inside, SHOWN)
        limits = threshold_multiotsu(np.clip(inside, low, high), classes, nbins=BINS)
        return scan.brain & (smooth > limits[-1])
