"""Linear registration by mutual information.

Mattes' mutual information (Mattes et al., IEEE TMI 2003) over three resolutions, by SimpleITK
(Lowekamp et al., Front. Neuroinform. 2013). The start is the best of a coarse search, because the
optimiser alone does not find its way over large rotations. World coordinates are RAS+ mm.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
import SimpleITK as sitk

from lightning_brats.data.raw.coarse import FINEST, coarse, foreground
from lightning_brats.data.raw.quality import quality
from lightning_brats.data.raw.scan import Scan, one_thread, to_matrix

Kind = Literal["rigid", "affine"]

LEVELS = ((4, 4.0), (2, 2.0), (1, 0.0))
"""Shrink factor and smoothing in mm of each resolution."""

BINS, SHARE, SEED = 32, 0.15, 7
"""Histogram bins of the metric, share of voxels it samples, and the seed they are drawn with."""

STEPS = (2.0, 0.005, 200)
"""Longest and shortest step of the optimiser in mm, and how many it may take at each resolution."""

RADIUS = 80.0
"""Radius of a head in mm."""

TURN = 15.0
"""Degrees about each axis that the coarse search turns the head by."""

MARGIN = 6.0
"""The metric is taken within so many mm of what is registered to: empty air tells nothing."""


@dataclass(frozen=True)
class Alignment:
    """How one scan lies in another's space.

    Args:
        matrix: (4, 4) world of the fixed scan → world of the moving one.
        quality: See `quality.quality`; 1/3 by chance, 1 at best.
    """

    matrix: np.ndarray
    quality: float


def register(fixed: Scan, moving: Scan, kind: Kind = "rigid") -> Alignment:
    """Bring one scan into another's space.

    Args:
        fixed: What stays in place.
        moving: What is brought to it.
        kind: Six or twelve degrees of freedom.
    """
    with one_thread():
        still, moved = coarse(fixed), coarse(moving)
        mask = _surroundings(still)
        rigid = _start(still, moved, mask)
        _optimise(still, moved, mask, rigid, LEVELS)
        found: sitk.Euler3DTransform | sitk.AffineTransform = rigid
        if kind == "affine":
            found = sitk.AffineTransform(3)
            found.SetCenter(rigid.GetCenter())
            found.SetMatrix(rigid.GetMatrix())
            found.SetTranslation(rigid.GetTranslation())
            _optimise(still, moved, mask, found, LEVELS[1:])
        matrix = to_matrix(found)
        return Alignment(matrix, quality(still, moved, matrix))


def _surroundings(image: sitk.Image) -> sitk.Image:
    return sitk.BinaryDilate(foreground(image), [round(MARGIN / FINEST)] * 3)


def _centre(image: sitk.Image) -> np.ndarray:
    """(3,) middle of the foreground, LPS+ mm."""
    inside = np.argwhere(sitk.GetArrayViewFromImage(foreground(image)) > 0)
    middle = inside.mean(0)[::-1] if inside.size else np.asarray(image.GetSize()) / 2
    return np.asarray(image.TransformContinuousIndexToPhysicalPoint(middle.tolist()))


def _candidates(fixed: np.ndarray, moving: np.ndarray) -> Iterator[sitk.Euler3DTransform]:
    """The scanner's own coordinates; equal centres, with the head turned by up to `TURN`."""
    turned = product((0.0, -TURN, TURN), repeat=3)
    tries = [(np.zeros(3), (0.0, 0.0, 0.0)), *((moving - fixed, angles) for angles in turned)]
    for shift, angles in tries:
        transform = sitk.Euler3DTransform()
        transform.SetCenter(fixed.tolist())
        transform.SetRotation(*np.deg2rad(angles).tolist())
        transform.SetTranslation(shift.tolist())
        yield transform


def _start(fixed: sitk.Image, moving: sitk.Image, mask: sitk.Image) -> sitk.Euler3DTransform:
    """The candidate that is most alike at the coarsest resolution."""
    shrink, smooth = LEVELS[0]
    few, blurred = (
        sitk.Shrink(sitk.SmoothingRecursiveGaussian(image, smooth), [by] * 3)
        for image, by in ((fixed, shrink), (moving, shrink // 2))
    )
    method = _method(sitk.Shrink(mask, [shrink] * 3))
    method.SetMetricSamplingStrategy(method.NONE)
    best, start = math.inf, None
    for candidate in _candidates(_centre(fixed), _centre(moving)):
        method.SetInitialTransform(candidate, False)
        try:
            value = method.MetricEvaluate(few, blurred)
        except RuntimeError:  # they do not overlap
            continue
        if value < best:
            best, start = value, candidate
    return start or next(_candidates(_centre(fixed), _centre(moving)))


def _optimise(
    fixed: sitk.Image,
    moving: sitk.Image,
    mask: sitk.Image,
    transform: sitk.Euler3DTransform | sitk.AffineTransform,
    levels: Sequence[tuple[int, float]],
) -> None:
    """Change the transform to where the mutual information is highest.

    Lengths are in head radii meanwhile: a step of the optimiser then moves the brain's surface
    equally far whether it turns, stretches or shifts.
    """
    method = _method(_scaled(mask))
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(SHARE, SEED)
    method.SetShrinkFactorsPerLevel([shrink for shrink, _ in levels])
    method.SetSmoothingSigmasPerLevel([smooth / RADIUS for _, smooth in levels])
    longest, shortest, most = STEPS
    method.SetOptimizerAsRegularStepGradientDescent(
        longest / RADIUS, shortest / RADIUS, most, 0.6, 1e-8
    )
    centre = np.asarray(transform.GetCenter())
    transform.SetCenter((centre / RADIUS).tolist())
    transform.SetParameters(_shifted(transform.GetParameters(), 1 / RADIUS))
    method.SetInitialTransform(transform, True)
    with suppress(RuntimeError):  # samples left the image: the quality will tell
        method.Execute(_scaled(fixed), _scaled(moving))
    transform.SetCenter(centre.tolist())
    transform.SetParameters(_shifted(transform.GetParameters(), RADIUS))


def _scaled(image: sitk.Image) -> sitk.Image:
    """The same image, its lengths in head radii."""
    scaled = sitk.Image(image)
    scaled.SetSpacing([size / RADIUS for size in image.GetSpacing()])
    scaled.SetOrigin([value / RADIUS for value in image.GetOrigin()])
    return scaled


def _shifted(parameters: Sequence[float], factor: float) -> list[float]:
    """A transform's parameters with its shift, which comes last, in other units."""
    return [*parameters[:-3], *(value * factor for value in parameters[-3:])]


def _method(mask: sitk.Image) -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetMetricFixedMask(mask)
    method.SetInterpolator(sitk.sitkLinear)
    return method
