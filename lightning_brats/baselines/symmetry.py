"""The two halves of a brain are much alike; a tumour is mostly in one of them.

Shapes: `x y z` a volume whose first axis runs from left to right.
"""

from __future__ import annotations

import numpy as np

from lightning_brats.baselines.scan import Scan

SEARCHED = 0.08
"""How far the brain's middle may lie from that of its bounding box, as a share of its width."""
COARSE = 2
"""Every so many voxels along y and z count when the midline is looked for."""
LOOSE = 4.0
"""Standard deviation in mm of the smoothing that forgives that halves are never quite alike."""


def midline(scan: Scan) -> int:
    """Sum of the indices of two voxels that mirror each other: x lies opposite `midline − x`.

    The plane between them is sagittal, as in registered data; the one is taken about which
    intensities differ least.
    """
    volume = np.clip(scan.standard(next(iter(scan.channels))), -3, 3) + 4
    volume = np.where(scan.brain, volume, 0)[:, ::COARSE, ::COARSE]
    middle = len(volume) - 1
    reach = max(1, round(SEARCHED * len(volume)))
    # Nearest to the middle first, so that it wins where several are equal.
    shifts = sorted(range(-reach, reach + 1), key=abs)
    costs = [np.abs(volume - mirrored(volume, middle + shift)).mean() for shift in shifts]
    return middle + shifts[int(np.argmin(costs))]


def mirrored(volume: np.ndarray, line: int) -> np.ndarray:
    """The volume seen in the mirror, 0 where there is nothing opposite."""
    size = len(volume)
    opposite = line - np.arange(size)
    inside = (opposite >= 0) & (opposite < size)
    out = np.zeros_like(volume)
    out[inside] = volume[opposite[inside]]
    return out


def asymmetry(scan: Scan, values: np.ndarray, line: int) -> np.ndarray:
    """(x, y, z) float32: by how much smoothed values exceed those of the other side.

    0 outside the brain and where the brain has nothing opposite.
    """
    smooth = scan.smooth(values, LOOSE)
    both = scan.brain & mirrored(scan.brain, line)
    return np.where(both, smooth - mirrored(smooth, line), 0).astype(np.float32)


def excess(scan: Scan) -> np.ndarray:
    """(x, y, z) float32: by how much FLAIR exceeds the other side, in robust SDs."""
    return asymmetry(scan, scan.standard("t2f"), midline(scan))
