"""From tissue to signal: four contrasts, and what looks like tumour without being one.

Values are relative to the brightest healthy tissue and follow clinical appearance: on T1 white
matter > grey > fluid, on T2 the reverse, on FLAIR fluid is dark and grey a little above white.
Shapes: `X Y Z` voxels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import ndimage

from lightning_brats.data.phantom.anatomy import Anatomy
from lightning_brats.data.phantom.fields import Grid, sigmoid, smooth_field
from lightning_brats.data.phantom.tumour import Tumour
from lightning_brats.labels import MODALITIES

#            csf  grey  white | oedema  necrosis  solid core  enhancing  cavity | vessel
_SIGNAL = {
    "t1n": (0.24, 0.60, 0.82, 0.60, 0.36, 0.52, 0.58, 0.27, 0.50),
    "t1c": (0.25, 0.63, 0.84, 0.62, 0.38, 0.55, 1.40, 0.29, 1.50),
    "t2w": (1.30, 0.74, 0.54, 1.08, 1.15, 0.95, 0.82, 1.28, 0.30),
    "t2f": (0.20, 0.70, 0.60, 1.12, 0.55, 0.98, 0.90, 0.26, 0.45),
}
_LESION_GAIN = {"t1n": -0.08, "t1c": -0.08, "t2w": 0.22, "t2f": 0.34}  # white-matter lesions


def make_contrasts(
    grid: Grid, anatomy: Anatomy, tumour: Tumour, seed: Sequence[int], contrast: float = 1.0
) -> Iterator[np.ndarray]:
    """Noise-free signal, one contrast at a time in the order of `labels.MODALITIES`.

    Args:
        grid: Voxels of the arrays.
        anatomy: Healthy tissue on it.
        tumour: Tumour on it.
        seed: Of the examination.
        contrast: Multiplies all differences from white matter.

    Yields:
        (X, Y, Z) float32, positive.
    """
    rng = np.random.default_rng(seed)
    wet = rng.uniform(0.2, 1.0)  # a necrosis of fluid, or a solid one
    faint = rng.uniform(0.75, 1.1, 6)  # how conspicuous each part of this tumour is
    vessels = _vessels(grid, anatomy, rng) * (1 - np.maximum(tumour.core, tumour.cavity))
    parts = [part * (1 - vessels) for part in _parts(anatomy, tumour, wet)] + [vessels]
    lesions = _white_matter_lesions(grid, anatomy, rng) * (1 - tumour.oedema)
    coarse, fine, mottled = (smooth_field(grid, w, rng) for w in (14, 4.5, 6))
    texture = 1 + 0.025 * coarse + 0.025 * fine
    texture += 0.11 * mottled * (tumour.core + 0.5 * tumour.oedema)
    for modality in MODALITIES:
        values = np.array(_SIGNAL[modality]) * np.exp(rng.normal(0, 0.035, len(parts)))
        values[3:] = values[2] + faint * (values[3:] - values[2])
        values = np.maximum(values[2] + contrast * (values - values[2]), 0.05)
        signal = sum(np.float32(v) * part for v, part in zip(values, parts, strict=True))
        signal += lesions * np.float32(_LESION_GAIN[modality] * contrast)
        yield np.maximum(signal * texture, 0.02)


def _parts(anatomy: Anatomy, tumour: Tumour, wet: float) -> list[np.ndarray]:
    """Fractions of a voxel that each row of `_SIGNAL` but the vessels has; they add up to 1."""
    swollen = np.maximum(tumour.oedema - tumour.core, 0)
    core = tumour.core - tumour.enhancing
    # Swollen tissue keeps a quarter of its own signal, so that its pattern shows.
    tissue = 1 - tumour.core - tumour.cavity - 0.75 * swollen
    return [
        anatomy.csf * tissue,
        anatomy.grey * tissue,
        anatomy.white * tissue,
        0.75 * swollen,
        wet * core,
        (1 - wet) * core,
        tumour.enhancing,
        tumour.cavity,
    ]


def _vessels(grid: Grid, anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """Vessels, dura and plexus, which enhance as tumour does.

    Where two random fields both vanish is a curve: a vessel without a centreline to draw.
    """
    first, second, spots, grains = (smooth_field(grid, w, rng) for w in (20, 20, 12, 4))
    tubes = np.exp(-(first**2 + second**2) / (2 * 0.09**2))
    tubes *= np.clip(anatomy.csf + 0.7 * anatomy.grey, 0, 1)
    dura = np.clip(2 * anatomy.edge - 1, 0, 1) * sigmoid(6 * (spots - 0.9))
    x, _, z = grid.axes
    sinus = np.exp(-((x / 3) ** 2)) * np.clip(1.5 * anatomy.edge - 0.4, 0, 1) * sigmoid(z / 6 - 2)
    plexus = 0.6 * (anatomy.edge < 0.02) * anatomy.csf**2 * sigmoid(6 * (grains - 1.4))
    return 0.85 * np.maximum.reduce([tubes, dura, sinus, plexus])


def _white_matter_lesions(grid: Grid, anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """Small-vessel disease: caps beside the ventricles and spots in deep white matter."""
    load = rng.uniform(-0.6, 0.9)
    ventricles = anatomy.csf * (anatomy.edge < 0.02)
    near = ndimage.gaussian_filter(ventricles, 4 / grid.spacing)
    spots = smooth_field(grid, 5, rng)
    return anatomy.white**2 * sigmoid(5 * (spots - 3.1 + load + 6 * near))
