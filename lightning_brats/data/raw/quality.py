"""How to tell that a registration failed, whatever the contrasts of the two scans."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from lightning_brats.data.raw.coarse import FINEST, foreground
from lightning_brats.data.raw.scan import to_transform

LEAST = 500
"""Voxels that two scans must share for their quality to be measured."""

RIM = 6.0
"""mm of the common foreground's rim that do not count for the quality: all heads are round."""

BLUR = 2.0
"""Standard deviation in mm that gradients are taken at."""

POOR = 0.47
"""Quality below which two scans of one head are not well registered. Right ones, of made-up heads
and real stripped brains, noise, slabs and slices of 6 mm among them, had 0.57 to 0.95; another
patient's scan, one upside down and noise 0.33 to 0.40. A few mm off is seen in part (5 mm: 0.43 to
0.55)."""

POOR_ATLAS = 0.39
"""The same against an atlas, which is another head: right ones had 0.41 and more, wrong ones 0.38
at most."""


def quality(fixed: sitk.Image, moving: sitk.Image, matrix: np.ndarray) -> float:
    """How parallel the gradients of two scans run, one brought to the other.

    It is the mean squared cosine between them (normalised gradient fields, Haber & Modersitzki,
    MICCAI 2006): 1/3 by chance and 1 where all edges coincide.

    Args:
        fixed: Image of `coarse`.
        moving: Another one.
        matrix: World of the first → world of the second.
    """
    transform = to_transform(matrix)
    brought = sitk.Resample(moving, fixed, transform, sitk.sitkLinear, 0.0)
    there = sitk.Resample(foreground(moving), fixed, transform, sitk.sitkNearestNeighbor, 0)
    both = sitk.BinaryErode(sitk.And(foreground(fixed), there), [round(RIM / FINEST)] * 3)
    inside = sitk.GetArrayViewFromImage(both) > 0
    if inside.sum() < LEAST:
        return 0.0
    first, second = (
        sitk.GetArrayFromImage(sitk.GradientRecursiveGaussian(image, BLUR))[inside]
        for image in (fixed, brought)
    )
    lengths = [np.linalg.norm(gradient, axis=1) for gradient in (first, second)]
    # Flat places have a direction by noise alone; the steepest tenth shall not decide alone.
    weight = np.prod([np.minimum(one, np.quantile(one, 0.9)) for one in lengths], axis=0)
    squares = (first * second).sum(1) ** 2 / np.maximum(np.prod(lengths, axis=0), 1e-12) ** 2
    return float((weight * squares).sum() / max(float(weight.sum()), 1e-12))
