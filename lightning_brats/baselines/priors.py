"""What is known of tumours before a scan is seen: how large they are, how uneven, how bright.

Shapes: `x y z` a prepared, cropped volume.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lightning_brats.baselines.scan import Scan
from lightning_brats.baselines.symmetry import excess
from lightning_brats.baselines.tissue import region
from lightning_brats.errors import DataError

LEAST_SD = 0.5
"""Of a prior: a few training cases may agree by chance."""


@dataclass(frozen=True)
class Priors:
    """Normal distributions, of which the training cases are samples.

    Args:
        log_volume: Mean and standard deviation of the whole tumour's volume, ln(ml).
        excess: Mean and standard deviation of what its FLAIR has more than the other side's, in
            the brain's robust standard deviations.
        enhancement: Robust standard deviations above the brain's median on T1c that part
            enhancing tumour from the rest of the tumour.
    """

    log_volume: tuple[float, float]
    excess: tuple[float, float]
    enhancement: float

    @classmethod
    def of(cls, scans: Sequence[Scan], chosen: Sequence[int]) -> Priors:
        """Priors from training cases.

        Args:
            scans: With labels.
            chosen: Indices of those to look at.

        Raises:
            DataError: None of them has a tumour.
        """
        volumes: list[float] = []
        excesses: list[float] = []
        bright: list[float] = []
        rest: list[float] = []
        for index in chosen:
            scan = scans[index]
            assert scan.labels is not None
            whole, enhancing = (region(scan.labels, name) for name in ("WT", "ET"))
            if not whole.any():
                continue
            t1c = scan.standard("t1c")
            volumes.append(math.log(millilitres(whole, scan)))
            excesses.append(float(excess(scan)[whole].mean()))
            for found, part in ((bright, enhancing), (rest, whole & ~enhancing)):
                if part.any():
                    found.append(float(t1c[part].mean()))
        if not volumes:
            raise DataError(
                "none of the training cases has a tumour to learn its size from",
                remedy="check the masks, or the label coding (data.labels)",
            )
        # Without enhancing tumour in training, nothing is ever called enhancing.
        between = (np.mean(bright) + np.mean(rest or [0.0])) / 2 if bright else math.inf
        return cls(_normal(volumes), _normal(excesses), float(between))

    def plausibility(self, mask: np.ndarray, scan: Scan, uneven: np.ndarray) -> float:
        """Logarithm of how likely a whole tumour is this mask, up to a constant; empty −∞.

        Args:
            mask: (x, y, z) bool.
            scan: What it is a mask of.
            uneven: Its `excess`.
        """
        if not mask.any():
            return -math.inf
        found = (math.log(millilitres(mask, scan)), float(uneven[mask].mean()))
        expected = (self.log_volume, self.excess)
        parts = zip(found, expected, strict=True)
        return sum(-0.5 * ((value - mean) / sd) ** 2 for value, (mean, sd) in parts)

    def to_dict(self) -> dict[str, object]:
        """Plain values, rounded."""
        enhancement = self.enhancement if math.isfinite(self.enhancement) else None
        return {
            "log_volume": [round(x, 4) for x in self.log_volume],
            "excess": [round(x, 4) for x in self.excess],
            "enhancement": None if enhancement is None else round(enhancement, 4),
        }


def millilitres(mask: np.ndarray, scan: Scan) -> float:
    """Volume of a mask."""
    return int(mask.sum()) * math.prod(scan.spacing) / 1000


def _normal(values: Sequence[float]) -> tuple[float, float]:
    return float(np.mean(values)), max(float(np.std(values)), LEAST_SD)
