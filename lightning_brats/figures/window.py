"""Which intensities become black and white."""

from __future__ import annotations

import numpy as np

PERCENTILES = (1.0, 99.7)


def window(values: np.ndarray) -> tuple[float, float]:
    """Robust limits of some voxels, best those of the brain alone; 0 and 1 where there are none."""
    if not values.size:
        return 0.0, 1.0
    low, high = np.percentile(values, PERCENTILES)
    return float(low), float(high)
