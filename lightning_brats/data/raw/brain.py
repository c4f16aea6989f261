"""Brain extraction without a network: morphology, held to an atlas.

What it is: tissue that is as bright as the middle of the head, cut loose from the scalp by an
erosion (after Shattuck et al., NeuroImage 2001); the MNI152 template is registered to it affinely,
and its brain says how far the result may lie from an average one. What it is not: as good as a
trained network. It takes a head whose scalp and brain are separated by dark bone; it may keep dura
and enhancing meninges, lose tumour that touches the skull, and fails where much of the brain is
missing from the field of view. Look at its masks.

Shapes: `X Y Z` voxels of a scan, `x y z` of the coarse image it works on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from edt import edt

from lightning_brats.data.raw.atlas import template, template_brain
from lightning_brats.data.raw.coarse import FINEST, coarse, foreground
from lightning_brats.data.raw.quality import POOR_ATLAS
from lightning_brats.data.raw.registration import Alignment, register
from lightning_brats.data.raw.scan import Scan, one_thread, to_transform

WIDTH = (2.5, 5.0)
"""Robust standard deviations below and above the brain's median that still are brain."""

OPENING = 4.0
"""mm of the erosion that cuts the brain loose from what surrounds it."""

CLOSING = 4.0
"""mm of the closing that fills sulci."""

CORE, REACH = 10.0, 8.0
"""mm inside the atlas' brain that are brain in any case, and mm outside it that may be brain."""

MILLILITRES = (500.0, 2300.0)
"""Brain volumes outside this are doubtful, in children too."""


@dataclass(frozen=True)
class Brain:
    """A brain that was found.

    Args:
        mask: (X, Y, Z) bool.
        alignment: Of the scan with the template, affine.
        warnings: Why the mask is doubtful.
    """

    mask: np.ndarray
    alignment: Alignment
    warnings: tuple[str, ...]


def extract_brain(scan: Scan) -> Brain:
    """Find the brain in a head.

    Args:
        scan: Any contrast in which brain and bone differ.
    """
    with one_thread():
        image = coarse(scan)
        rough = _rough(image)
        outline = _image(rough)
        outline.CopyInformation(image)
        alone = sitk.Mask(image, outline)
        alignment = register(template(), Scan.from_sitk(alone), "affine")
        found = _held(rough, _prior(image, alignment))
        mask = _at(found, image, scan)
    warnings = []
    if alignment.quality < POOR_ATLAS:
        warnings.append(
            f"brain extraction: the atlas does not fit (quality {alignment.quality:.2f})"
        )
    millilitres = float(mask.sum()) * float(np.prod(scan.spacing)) / 1000
    if not MILLILITRES[0] <= millilitres <= MILLILITRES[1]:
        warnings.append(f"brain extraction: the brain has {millilitres:.0f} ml")
    return Brain(mask, alignment, tuple(warnings))


def _rough(image: sitk.Image) -> np.ndarray:
    """(z, y, x) bool: brain by brightness and connection alone."""
    voxels = sitk.GetArrayViewFromImage(image)
    head = _filled(sitk.GetArrayViewFromImage(foreground(image)) > 0)
    depth = _depth(head)
    middle = depth > 0.6 * depth.max()
    tissue = _tissue(voxels, middle) & head
    eroded = _depth(tissue) > OPENING
    parts = sitk.GetArrayFromImage(sitk.ConnectedComponent(_image(eroded)))
    overlap = np.bincount(parts[middle & eroded], minlength=2)
    overlap[0] = 0
    # A voxel further than it was eroded: an erosion leaves smooth corners.
    grown = _depth(parts == overlap.argmax()) > -(OPENING + FINEST)
    return _closed(grown & tissue)


def _prior(image: sitk.Image, alignment: Alignment) -> np.ndarray:
    """(z, y, x) bool: the atlas' brain."""
    transform = to_transform(np.linalg.inv(alignment.matrix))
    brain = template_brain().to_sitk()
    return (
        sitk.GetArrayFromImage(sitk.Resample(brain, image, transform, sitk.sitkLinear, 0.0)) > 0.5
    )


def _held(rough: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """(z, y, x) bool: the rough brain, about as far out as the atlas' one."""
    depth = _depth(prior)
    core = depth > min(CORE, 0.5 * float(depth.max()))
    return _closed(rough & (depth > -REACH) | core)


def _tissue(voxels: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """Voxels about as bright as those of a sample of the brain."""
    median = np.median(voxels[sample])
    deviation = 1.4826 * np.median(np.abs(voxels[sample] - median))
    low, high = WIDTH
    return (voxels > median - low * deviation) & (voxels < median + high * deviation)


def _depth(mask: np.ndarray) -> np.ndarray:
    """Distance in mm to the mask's surface, positive inside."""
    inside, outside = (edt(np.ascontiguousarray(m), parallel=1) for m in (mask, ~mask))
    # To the middle of the nearest voxel beyond; the surface lies half a voxel before it.
    return FINEST * np.where(mask, inside - 0.5, 0.5 - outside)


def _closed(mask: np.ndarray) -> np.ndarray:
    """Sulci and ventricles filled."""
    room = round(CLOSING / FINEST) + 1
    padded = np.pad(mask, room)
    closed = _depth(_depth(padded) > -CLOSING) > CLOSING
    return _filled(closed[(slice(room, -room),) * 3])


def _filled(mask: np.ndarray) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.BinaryFillhole(_image(mask))) > 0


def _image(mask: np.ndarray) -> sitk.Image:
    return sitk.GetImageFromArray(mask.astype(np.uint8))


def _at(mask: np.ndarray, image: sitk.Image, scan: Scan) -> np.ndarray:
    """(X, Y, Z) bool: a coarse mask on the scan's own voxels."""
    smooth = sitk.GetImageFromArray(mask.astype(np.float32))
    smooth.CopyInformation(image)
    fine = sitk.Resample(smooth, scan.to_sitk(), sitk.Transform(), sitk.sitkLinear, 0.0)
    return sitk.GetArrayFromImage(fine).T > 0.5
