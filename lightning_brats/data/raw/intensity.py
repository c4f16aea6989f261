"""Noise and bias field of one scan.

Shapes: `X Y Z` voxels.
"""

from __future__ import annotations

from math import ceil

import numpy as np
import SimpleITK as sitk
from scipy import ndimage
from skimage.filters import gaussian
from skimage.restoration import denoise_nl_means

from lightning_brats.data.raw.scan import Scan
from lightning_brats.errors import ConfigError, DataError

FIELD_MM = 4.0
"""Least voxel size that the bias field is fitted at; it is far smoother than that."""


def denoise(scan: Scan, how: str, strength: float) -> Scan:
    """A scan with less noise; voxels of exactly 0 are outside and stay so.

    Args:
        scan: Any.
        how: `gaussian`; `median`; `nlm`, non-local means (Buades et al., CVPR 2005; Coupé et al.,
            IEEE TMI 2008), the slowest and the one that keeps edges best.
        strength: Standard deviation in mm; radius in voxels; filtering in units of the noise's
            standard deviation, which is measured.
    """
    data = scan.data
    if how == "gaussian":
        found = gaussian(data, strength / scan.spacing, preserve_range=True)
    elif how == "median":
        image = sitk.GetImageFromArray(np.ascontiguousarray(data.T))
        found = sitk.GetArrayFromImage(sitk.Median(image, [max(1, round(strength))] * 3)).T
    elif how == "nlm":
        sigma = noise(data)
        found = denoise_nl_means(
            data,
            patch_size=3,
            patch_distance=2,
            h=0.8 * strength * sigma,
            sigma=strength * sigma,
            fast_mode=True,
            preserve_range=True,
        )
    else:
        raise ConfigError(f"there is no denoising {how}", remedy="choose gaussian, median or nlm")
    return Scan(np.where(data == 0, 0, found).astype(np.float32), scan.affine)


def noise(data: np.ndarray) -> float:
    """Standard deviation of the noise, from pseudo-residuals (Gasser et al., Biometrika 1986).

    Args:
        data: (X, Y, Z); the noise is measured where it is brighter than its mean, since Rician
            noise is smaller in air.
    """
    kernel = ndimage.generate_binary_structure(3, 1) / 6.0
    kernel[1, 1, 1] = 0
    residual = np.sqrt(6 / 7) * (data - ndimage.convolve(data, kernel))
    inside = residual[data > data.mean()]
    if not inside.size:
        return 0.0
    return float(1.4826 * np.median(np.abs(inside - np.median(inside))))


def correct_bias(scan: Scan, brain: np.ndarray, case: str) -> np.ndarray:
    """(X, Y, Z) float32 without its bias field, by N4 (Tustison et al., IEEE TMI 2010).

    Args:
        scan: Raw intensities, above 0 in the brain.
        brain: (X, Y, Z) bool: where the field is fitted.
        case: For messages.

    Raises:
        DataError: The brain holds values that no scanner gives.
    """
    usable = brain & (scan.data > 0)
    if usable.sum() < 0.9 * brain.sum():
        raise DataError(
            f"{100 * (1 - usable.sum() / brain.sum()):.0f} % of the brain are 0 or below; N4 works "
            "on raw intensities",
            case=case,
            remedy="switch it off for data that are normalised already: preprocess.raw.bias=null",
        )
    if np.ptp(scan.data[usable]) == 0:
        return scan.data  # N4 needs a histogram; a flat image has no field
    # The brain's own box is all there is to do; what is left of the head stays as it is.
    where = tuple(slice(int(v.min()), int(v.max()) + 1) for v in np.nonzero(brain))
    image = Scan(scan.data[where], scan.affine).to_sitk()
    mask = sitk.GetImageFromArray(usable[where].T.astype(np.uint8))
    mask.CopyInformation(image)
    factors = [
        max(1, min(ceil(FIELD_MM / size), n // 8))
        for size, n in zip(image.GetSpacing(), image.GetSize(), strict=True)
    ]
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    # Single voxels, not means of blocks, which would be darker at the brain's edge.
    n4.Execute(sitk.Shrink(image, factors), sitk.Shrink(mask, factors))
    field = np.exp(sitk.GetArrayFromImage(n4.GetLogBiasFieldAsImage(image)).T)
    # Only the field's shape is known: the brain's mean stays what it was.
    inside = usable[where]
    corrected = scan.data[where] / field
    scale = scan.data[where][inside].mean() / corrected[inside].mean()
    out = scan.data.copy()
    out[where] = scale * corrected
    return out
