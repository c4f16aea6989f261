"""What each modality contributes: the case is segmented again without it.

In its place stands its mean in the brain, whatever the normalisation. Networks that were trained
with missing modalities are given zero, which they saw instead of one.

Shapes: C modalities, R regions, x y z the volume.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lightning_brats.labels import region_masks
from lightning_brats.metrics.overlap import overlap

Segment = Callable[[int], tuple[np.ndarray, np.ndarray]]
"""A modality to go without → labels (x, y, z) and the regions' probabilities (R, x, y, z)."""


def taken_away(image: Tensor, channel: int, zero: bool) -> Tensor:
    """A volume (C, x, y, z) without one modality.

    Args:
        image: Prepared, 0 around the brain.
        channel: Of the modality.
        zero: Whether 0 takes its place; otherwise its mean in the brain does, there.
    """
    changed = image.clone()
    changed[channel] = 0
    if not zero:
        brain = brain_of(image)
        changed[channel][brain] = image[channel][brain].mean()
    return changed


def contributions(
    modalities: Sequence[str],
    regions: Sequence[str],
    image: Tensor,
    run: Segment,
    first: tuple[np.ndarray, np.ndarray],
    reference: np.ndarray | None,
    millilitres: float,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> pd.DataFrame:
    """What changes without each modality.

    Args:
        modalities: C names; one that the case lacks (all 0) is left out.
        regions: R names.
        image: (C, x, y, z).
        run: Segments the volume without a modality.
        first: What it gives with all of them.
        reference: Internal labels (x, y, z), if known.
        millilitres: Volume of a voxel.
        progress: Called with (modalities done, modalities).

    Returns:
        Rows `modality, region`: `volume_ml` with all modalities and `volume_ml_without` it;
        `probability` and `probability_without`, means over the voxels first found in the region;
        `dice_with_all`, of the two masks; and, with a reference, `dice` and `dice_without`.
    """
    labels, soft = first
    there = [i for i in range(len(modalities)) if bool((image[i] != 0).any())]
    rows = []
    for number, channel in enumerate(there):
        progress(number, len(there))
        without, faded = run(channel)
        for index, region in enumerate(regions):
            with_all, alone = (region_masks(found, [region])[0] for found in (labels, without))
            row = {
                "modality": modalities[channel],
                "region": region,
                "volume_ml": with_all.sum() * millilitres,
                "volume_ml_without": alone.sum() * millilitres,
                "probability": _mean(soft[index], with_all),
                "probability_without": _mean(faded[index], with_all),
                "dice_with_all": _dice(with_all, alone),
            }
            if reference is not None:
                truth = region_masks(reference, [region])[0]
                row |= {"dice": _dice(truth, with_all), "dice_without": _dice(truth, alone)}
            rows.append(row)
    progress(len(there), len(there))
    return pd.DataFrame(rows)


def _dice(first: np.ndarray, second: np.ndarray) -> float:
    """Of two masks; 1 where both are empty."""
    one, other, both = (int(mask.sum()) for mask in (first, second, first & second))
    return overlap(one, other, both, first.size, (1.0, 1.0, 1.0))["dice"]


def _mean(values: np.ndarray, inside: np.ndarray) -> float:
    return float(values[inside].mean()) if inside.any() else float("nan")


def brain_of(image: Tensor) -> Tensor:
    """(x, y, z) bool: where any modality (C, x, y, z) is not 0."""
    return torch.as_tensor((image != 0).any(0))
