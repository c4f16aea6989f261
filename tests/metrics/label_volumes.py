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
    return reference, prediction, _spacing(rng)


def specks(rng: np.random.Generator):
    """Hundreds of small lesions of all tissues, many found, some missed, some invented."""
    reference, prediction = np.zeros((2, *rng.integers(24, 40, 3)), np.uint8)
    for _ in range(rng.integers(100, 400)):
        corner = [rng.integers(0, n) for n in reference.shape]
        box = tuple(slice(c, c + rng.integers(1, 4)) for c in corner)
        label = rng.integers(1, 5)
        fate = rng.random()
        if fate < 0.8:
            reference[box] = label
        if fate > 0.3:
            prediction[box] = label if rng.random() < 0.9 else rng.integers(1, 5)
    return reference, prediction, _spacing(rng)


def web(rng: np.random.Generator):
    """Rods of all tissues, crossing at random: lesions that touch, and so are joined, in chains."""
    shape = rng.integers(20, 36, 3)
    volumes = []
    for _ in range(2):
        volume = np.zeros(shape, np.uint8)
        for _ in range(rng.integers(6, 30)):
            axis, thick = rng.integers(3), rng.integers(2, 4)
            box = [slice(c, c + thick) for c in (rng.integers(0, n - thick) for n in shape)]
            start = rng.integers(-5, shape[axis] - 3)
            box[axis] = slice(max(0, start), start + rng.integers(4, 25))
            volume[tuple(box)] = rng.integers(0, 5)
        volumes.append(volume)
    reference, other = volumes
    mixed = rng.random(reference.shape[0]) < 0.7  # planes that the prediction has right
    prediction = np.where(mixed[:, None, None], reference, other)
    return reference, prediction, _spacing(rng)


def at_the_border(rng: np.random.Generator):
    """A tumour cut so that it touches all sides of a small volume, or fills it."""
    reference, prediction, spacing = random_pair(rng, tuple(rng.integers(14, 30, 3)), 6)
    cut = tuple(slice(n // 4, n - n // 4) for n in reference.shape)
    reference, prediction = reference[cut].copy(), prediction[cut].copy()
    if rng.random() < 0.3:
        reference[reference == 0] = rng.integers(1, 5)
    if rng.random() < 0.1:
        prediction[:] = rng.integers(1, 5)
    return reference, prediction, spacing


def _spacing(rng: np.random.Generator) -> tuple[float, float, float]:
    if rng.random() < 0.4:
        return 1.0, 1.0, 1.0
    x, y, z = rng.choice([0.5, 0.9375, 1.2, 3], 3).tolist()
    return x, y, z


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
