"""One modality as the scanner stored it, and its way to SimpleITK and back.

World coordinates are RAS+ mm, as in NIfTI; SimpleITK's are LPS+ mm. Shapes: `X Y Z` voxels in the
file's own order.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from scipy import ndimage

_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])
"""RAS+ ↔ LPS+."""


@dataclass(frozen=True)
class Scan:
    """A volume and where it lies.

    Args:
        data: (X, Y, Z) float32.
        affine: (4, 4) voxel → RAS+ mm.
    """

    data: np.ndarray
    affine: np.ndarray

    @property
    def spacing(self) -> np.ndarray:
        """(3,) voxel size in mm along the array's axes."""
        return nib.affines.voxel_sizes(self.affine)

    def to_sitk(self) -> sitk.Image:
        """The same volume for SimpleITK."""
        image = sitk.GetImageFromArray(np.ascontiguousarray(self.data.T))
        _place(image, self.affine)
        return image

    @classmethod
    def from_sitk(cls, image: sitk.Image) -> Scan:
        """A volume from SimpleITK."""
        affine = np.eye(4)
        direction = np.asarray(image.GetDirection()).reshape(3, 3)
        affine[:3, :3] = direction * np.asarray(image.GetSpacing())
        affine[:3, 3] = image.GetOrigin()
        return cls(sitk.GetArrayFromImage(image).T, _FLIP @ affine)


def bring(
    scan: Scan, shape: tuple[int, int, int], affine: np.ndarray, matrix: np.ndarray
) -> np.ndarray:
    """A scan at the voxels of a grid (X, Y, Z), by linear interpolation; 0 where it does not reach.

    Finer scans are smoothed first, so that no detail folds back as noise (Cardoso et al., MICCAI
    2015).

    Args:
        scan: What is brought.
        shape: Voxels of the grid.
        affine: Its voxel → RAS+ mm.
        matrix: (4, 4) RAS+ mm of the grid → RAS+ mm of the scan.
    """
    wanted = np.linalg.norm((np.linalg.inv(scan.affine) @ matrix @ affine)[:3, :3], axis=1)
    # In voxels of the scan; full widths at half maximum subtract in squares.
    sigma = np.sqrt(np.maximum(wanted**2 - 1, 0)) / 2.355
    if sigma.max() > 0.2:
        scan = Scan(ndimage.gaussian_filter(scan.data, sigma), scan.affine)
    grid = sitk.Image([int(n) for n in shape], sitk.sitkUInt8)
    _place(grid, affine)
    found = sitk.Resample(scan.to_sitk(), grid, to_transform(matrix), sitk.sitkLinear, 0.0)
    return sitk.GetArrayFromImage(found).T


def _place(image: sitk.Image, affine: np.ndarray) -> None:
    """Tell an image where it lies."""
    lps = _FLIP @ affine
    spacing = nib.affines.voxel_sizes(lps)
    image.SetSpacing([float(s) for s in spacing])
    image.SetOrigin([float(v) for v in lps[:3, 3]])
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())


def to_transform(matrix: np.ndarray) -> sitk.AffineTransform:
    """(4, 4) RAS+ mm → RAS+ mm as SimpleITK's transform of points."""
    lps = _FLIP @ matrix @ _FLIP
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(lps[:3, :3].ravel().tolist())
    transform.SetTranslation(lps[:3, 3].tolist())
    return transform


def to_matrix(transform: sitk.Transform) -> np.ndarray:
    """Inverse of `to_transform`, of any linear transform."""
    corners = np.vstack([np.zeros(3), np.eye(3)])
    moved = np.array([transform.TransformPoint(point.tolist()) for point in corners])
    lps = np.eye(4)
    lps[:3, :3], lps[:3, 3] = (moved[1:] - moved[0]).T, moved[0]
    return _FLIP @ lps @ _FLIP


@contextmanager
def one_thread() -> Iterator[None]:
    """SimpleITK in one thread: results repeat, and worker processes do not fight for cores."""
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)
