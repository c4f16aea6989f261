"""What registration and brain extraction work on: a scan at 2 mm, and where the head is in it."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from lightning_brats.data.raw.scan import Scan

FINEST = 2.0
"""Voxel size in mm that is registered at; made-up heads of 1 mm came to within 0.2 mm so."""

SMALLEST = 4
"""Voxels along an axis that the coarsest resolution needs."""


def coarse(scan: Scan) -> sitk.Image:
    """The scan at `FINEST` mm, without its extreme values, nowhere below 0."""
    sample = scan.data[::2, ::2, ::2]
    sample = sample[sample != 0] if (sample == 0).mean() > 0.1 else sample.ravel()
    low, high = np.percentile(sample, [0.1, 99.5]) if sample.size else (0.0, 0.0)
    data = np.minimum(scan.data, high)
    if low < 0:
        # Normalised already: what surrounds the brain must be darker than it, not of its mean.
        data = np.where(scan.data == 0, 0, np.maximum(data - low, 0))
    image = Scan(np.maximum(data, 0), scan.affine).to_sitk()
    factors = [max(1, int(FINEST / size + 0.1)) for size in image.GetSpacing()]
    factors = [min(f, n) for f, n in zip(factors, image.GetSize(), strict=True)]
    image = sitk.BinShrink(image, factors)
    extent = np.multiply(image.GetSize(), image.GetSpacing())
    size = [max(SMALLEST, round(length / FINEST)) for length in extent]
    # The first voxel's outer corner stays where it is.
    half = (FINEST - np.asarray(image.GetSpacing())) / 2
    direction = np.asarray(image.GetDirection()).reshape(3, 3)
    origin = np.asarray(image.GetOrigin()) + direction @ half
    return sitk.Resample(
        image,
        size,
        sitk.Transform(),
        sitk.sitkLinear,
        origin.tolist(),
        [FINEST] * 3,
        image.GetDirection(),
        0.0,
    )


def foreground(image: sitk.Image) -> sitk.Image:
    """Head, or the brain where the skull is stripped off, by Otsu's threshold (1979)."""
    zero = sitk.GetArrayViewFromImage(image) == 0
    if zero.mean() > 0.3:  # stripped: air is never so evenly 0
        return sitk.Cast(sitk.NotEqual(image, 0), sitk.sitkUInt8)
    return sitk.OtsuThreshold(image, 0, 1, 128)
