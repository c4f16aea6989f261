"""Perceptual fingerprints: a few hundred characters by which the same examination is known again.

A fingerprint hardly changes when a case is released again under another name, with its axes in
another order, as another data type, on another intensity scale, cropped, shifted or resampled, or
with noise; those of two patients differ. Each modality is averaged over a coarse grid that is laid
by the brain's own centre and extent, and the averages are standardised.

Shapes: `C` modalities, `X Y Z` voxels, `N` cells of the grid inside an ellipsoid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import nibabel as nib
import numpy as np

GRID = 8
"""Cells an axis."""
REACH = 5**0.5
"""Half of the grid in standard deviations of the brain's voxels: a solid ellipsoid's radius."""
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"
"""One character a cell: its average between -`LIMIT` and `LIMIT` standard deviations."""
LIMIT = 3.0


def _inside() -> np.ndarray:
    """(GRID, GRID, GRID) whether a cell's centre lies in the ellipsoid."""
    centres = (np.arange(GRID) + 0.5) * 2 / GRID - 1
    x, y, z = np.meshgrid(centres, centres, centres, indexing="ij")
    return x**2 + y**2 + z**2 <= 1


INSIDE = _inside()
CELLS = int(INSIDE.sum())
_VALUES = np.zeros(256, np.float32)
_VALUES[[ord(letter) for letter in ALPHABET]] = np.linspace(-LIMIT, LIMIT, len(ALPHABET))


def encode(
    image: np.ndarray, brain: np.ndarray, affine: np.ndarray, modalities: Sequence[str]
) -> dict[str, str]:
    """Modality → fingerprint of `CELLS` characters.

    Args:
        image: (C, X, Y, Z) any intensity scale.
        brain: (X, Y, Z) bool, not empty.
        affine: (4, 4) voxel → RAS+ mm.
        modalities: C names.
    """
    orientation = nib.orientations.io_orientation(affine)
    profiles = [brain.sum(tuple(a for a in range(3) if a != axis)) for axis in range(3)]
    weights = [_weights(profile) for profile in profiles]
    share = _pool(brain, weights)
    count = int(profiles[0].sum())
    codes = {}
    for modality, channel in zip(modalities, image, strict=True):
        inside = channel * brain
        mean = np.float32(inside.sum(dtype=np.float64) / count)
        # How much of a cell is brain counts too, so that no cell is in or out by a hair.
        contrast = _pool(inside, weights) - mean * share
        cells = nib.orientations.apply_orientation(contrast, orientation)[INSIDE]
        scaled = (cells - cells.mean()) / max(float(cells.std()), np.finfo(np.float32).tiny)
        steps = np.rint((np.clip(scaled, -LIMIT, LIMIT) + LIMIT) * (len(ALPHABET) - 1) / 2 / LIMIT)
        codes[modality] = "".join(ALPHABET[int(step)] for step in steps)
    return codes


def values(letters: np.ndarray) -> np.ndarray:
    """Characters of fingerprints (n, N) uint8 → (n, N) float32, each row of mean 0 and length 1."""
    found = _VALUES[letters]
    found -= found.mean(1, keepdims=True)
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-6)


def flips() -> list[np.ndarray]:
    """The (N,) orders of the cells that mirror the brain along each combination of axes."""
    numbers = np.full(INSIDE.shape, -1)
    numbers[INSIDE] = np.arange(CELLS)
    axes: list[Any] = [[a for a in range(3) if mask >> a & 1] for mask in range(8)]
    return [np.flip(numbers, flipped)[INSIDE] for flipped in axes]


def _weights(profile: np.ndarray) -> np.ndarray:
    """(GRID, n) weights in each cell of the n voxels of an axis, given the brain voxels in each."""
    places = np.arange(len(profile), dtype=np.float64)
    centre = np.average(places, weights=profile)
    deviation = max(float(np.average((places - centre) ** 2, weights=profile)) ** 0.5, 0.5)
    width = 2 * REACH * deviation / GRID
    nodes = centre + (np.arange(GRID) + 0.5 - GRID / 2) * width
    # Hats overlap, so that a shift by part of a voxel changes little.
    hats = np.clip(1 - np.abs(places - nodes[:, None]) / max(width, 1.0), 0, None)
    return hats.astype(np.float32)


def _pool(volume: np.ndarray, weights: Sequence[np.ndarray]) -> np.ndarray:
    """(X, Y, Z) → (GRID, GRID, GRID) weighted sums."""
    along_z = volume.astype(np.float32, copy=False) @ weights[2].T
    along_y = np.einsum("xyk,jy->xjk", along_z, weights[1], optimize=True)
    return np.einsum("xjk,ix->ijk", along_y, weights[0], optimize=True)
