"""Random label volumes for the tests: tumours, scattered lesions, borders, empty masks."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def random_pair(rng: np.random.Generator, shape=None, objects=None):
    """Reference and prediction (X, Y, Z) uint8, labels 0 to 4, and a spacing."""
    shape = tuple(rng.integers(8, 40, 3)) if shape is None else shape
    reference = np.zeros(shape, np.uint8)
    for _ in range(rng.integers(0, 9) if objects is None else objects):
        _blob(reference, rng)
    prediction = reference.copy()
    for axis, step in enumerate(rng.integers(-2, 3, 3)):
        prediction = np.roll(prediction, step, axis)
    prediction[rng.random(shape) < rng.choice([0, 0.01, 0.1])] = 0
    for _ in range(rng.integers(0, 4)):
        _blob(prediction, rng)
    if rng.random() < 0.3:
        speckle = rng.random(shape) < 0.003
        prediction[speckle] = rng.integers(1, 5, speckle.sum())
    for volume in (reference, prediction):
        volume[np.isin(volume, np.flatnonzero(rng.random(5) < 0.15))] = 0
        if rng.random() < 0.05:
            volume[:] = 0
    spacing = (1.0, 1.0, 1.0) if rng.random() < 0.6 else tuple(rng.choice([0.5, 0.9375, 1.2, 3], 3))
    return reference, prediction, tuple(float(s) for s in spacing)


def _blob(volume: np.ndarray, rng: np.random.Generator) -> None:
    """Paint an irregular ball, in shells of different tissue, that may leave the volume."""
    centre = [rng.integers(0, n) for n in volume.shape]
    grid = np.meshgrid(*(np.arange(n) for n in volume.shape), indexing="ij")
    axes = rng.uniform(0.7, 1.5, 3)
    distance = np.sqrt(sum(((g - c) * a) ** 2 for g, c, a in zip(grid, centre, axes, strict=True)))
    distance += ndimage.gaussian_filter(rng.normal(0, 4, volume.shape), 1)
    radius = rng.uniform(0.5, 6)
    labels = rng.permutation([1, 2, 3, 4])
    shares = sorted(rng.random(rng.integers(1, 4)), reverse=True)
    for label, share in zip(labels, shares, strict=False):
        volume[distance < radius * share + 0.5] = label
