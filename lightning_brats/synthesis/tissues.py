"""Mean intensities of what a voxel may hold: the labels, and three kinds of healthy tissue.

The kinds (fluid, grey and white matter) are told by intensities alone.

Shapes: `C` modalities, `N` voxels, `L` labels, `T` kinds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lightning_brats.data.cache import CachedCase
from lightning_brats.errors import DataError
from lightning_brats.synthesis.condition import KINDS, LABELS

CASES = 20
"""Training cases that centres are found on, at most."""
VOXELS = 5_000
"""Of each of them."""
FLUID = {"t1n": 1, "t1c": 1, "t2f": 1, "t2w": -1}
"""Modality → 1 where fluid is darker than brain tissue, −1 where it is brighter."""


def find_centres(
    entries: Sequence[CachedCase], modalities: Sequence[str], seed: int
) -> list[list[float]]:
    """Mean intensities of the kinds of tissue, by k-means over healthy voxels of training cases.

    Prepared intensities are alike from case to case, so one set of centres serves all.

    Args:
        entries: Prepared training cases.
        modalities: Of the channels; the first one known to tell fluid puts that first.
        seed: Of the draw of cases and voxels.

    Returns:
        (T, C), by rising intensity of that modality (falling on T2), else of the first.

    Raises:
        DataError: There are hardly any healthy voxels.
    """
    # Here, because loading it takes a second and other runs have no use for it.
    from sklearn.cluster import KMeans

    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(entries))[:CASES]
    values = np.concatenate([_healthy(entries[int(i)], rng) for i in chosen])
    if len(values) < 10 * KINDS:
        raise DataError(f"{len(values)} healthy voxels are too few to tell kinds of tissue apart")
    centres = KMeans(KINDS, n_init=4, random_state=seed).fit(values).cluster_centers_
    telling = next((m for m in FLUID if m in modalities), modalities[0])
    key = FLUID.get(telling, 1) * centres[:, list(modalities).index(telling)]
    return centres[np.argsort(key)].tolist()


def find_colours(
    entries: Sequence[CachedCase], modalities: Sequence[str], seed: int
) -> list[list[float]]:
    """(L + T, C) mean intensities over training cases: of the labels, then of the kinds of tissue.

    A label that no case has gets the brain's mean, 0 where intensities are z-scores.

    Args:
        entries: Prepared training cases, of which some are looked at.
        modalities: Of the channels.
        seed: Of the draw.

    Raises:
        DataError: See `find_centres`.
    """
    total, count = np.zeros((LABELS, len(modalities))), np.zeros((LABELS, 1))
    for number in np.random.default_rng(seed).permutation(len(entries))[:CASES]:
        image, mask = np.asarray(entries[int(number)].image, np.float64), entries[int(number)].mask
        if mask is None:
            continue
        for label in range(1, LABELS + 1):
            inside = (np.asarray(mask) == label) & (image != 0).any(0)
            total[label - 1] += image[:, inside].sum(1)
            count[label - 1] += inside.sum()
    means = total / np.maximum(count, 1)
    return [*means.tolist(), *find_centres(entries, modalities, seed)]


def _healthy(entry: CachedCase, rng: np.random.Generator) -> np.ndarray:
    """(n, C) voxels of the brain without tumour."""
    image, mask = np.asarray(entry.image, np.float32), entry.mask
    inside = (image != 0).any(0)
    if mask is not None:
        inside &= mask == 0
    values = image[:, inside].T
    few = len(values) <= VOXELS
    return values if few else values[rng.choice(len(values), VOXELS, replace=False)]
