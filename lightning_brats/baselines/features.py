"""Hand-made features of voxels: intensity, gradient, texture, symmetry, place.

Shapes: `N` voxels of the brain, `F` features, `x y z` a prepared, cropped volume.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from lightning_brats.baselines.scan import Scan
from lightning_brats.baselines.symmetry import asymmetry, midline

SCALES = (1.0, 3.0)
"""Standard deviations in mm of the smoothed intensities."""
EDGE = 1.0
"""Standard deviation in mm at which gradients are taken."""
TEXTURE = 3.0
"""Standard deviation in mm of the surroundings whose spread and blobs are measured."""


def features(scan: Scan) -> np.ndarray:
    """(N, F) float32 features of the brain's voxels, in the order of `np.nonzero(scan.brain)`.

    Of each modality, as it was normalised: the intensity, smoothed at two scales; the gradient's
    magnitude; the standard deviation of the surroundings and the Laplacian of Gaussian (texture);
    and the excess over the other side. Then the distance to the brain's surface in mm, that to the
    midline, and the place from back to front and bottom to top, from 0 to 1.
    """
    return np.stack(list(_columns(scan)), axis=1)


def feature_names(scan: Scan) -> list[str]:
    """(F,) names of the columns."""
    kinds = ["intensity", *(f"smooth_{mm:g}mm" for mm in SCALES)]
    kinds += ["gradient", "spread", "laplacian", "asymmetry"]
    return [f"{m}.{k}" for m in scan.channels for k in kinds] + ["depth", "side", "front", "top"]


def _columns(scan: Scan) -> Iterator[np.ndarray]:
    brain, line = scan.brain, midline(scan)
    for channel in scan.channels.values():
        yield channel[brain]
        for mm in SCALES:
            yield scan.smooth(channel, mm)[brain]
        yield ndimage.gaussian_gradient_magnitude(channel, _voxels(scan, EDGE))[brain]
        mean = scan.smooth(channel, TEXTURE)
        square = scan.smooth(channel**2, TEXTURE)
        yield np.sqrt(np.maximum(square - mean**2, 0))[brain]
        yield ndimage.gaussian_laplace(channel, _voxels(scan, TEXTURE))[brain]
        yield asymmetry(scan, channel, line)[brain]
    yield from _places(scan, line)


def _places(scan: Scan, line: int) -> Iterator[np.ndarray]:
    padded = np.pad(scan.brain, 1)  # beyond the crop there is no brain either
    depth = ndimage.distance_transform_edt(padded, sampling=scan.spacing)[1:-1, 1:-1, 1:-1]
    yield depth[scan.brain].astype(np.float32)
    x, y, z = np.nonzero(scan.brain)
    yield (np.abs(x - line / 2) * scan.spacing[0]).astype(np.float32)
    for axis in (y, z):
        low, high = axis.min(), axis.max()
        yield ((axis - low) / max(high - low, 1)).astype(np.float32)


def _voxels(scan: Scan, mm: float) -> list[float]:
    return [mm / size for size in scan.spacing]
