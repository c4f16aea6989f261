"""Weights of rare classes from the voxels of the training cases."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_brats.errors import ConfigError
from lightning_brats.labels import REGIONS
from lightning_brats.losses.terms import Head


def foreground_weights(
    voxels: Sequence[float],
    head: Head,
    regions: Sequence[str],
    *,
    power: float = 0.5,
    limit: float = 100.0,
) -> list[float]:
    """How many times a voxel of each foreground class (or region) should count.

    It is the ratio of the voxels outside to those inside, to the power of one half: the full ratio,
    which gives foreground and background equal say, makes networks find tumours everywhere. For a
    region all other voxels are outside, for a class those of the background.

    Args:
        voxels: Of each internal label over all training cases, background first.
        head: `regions` or `labels`.
        regions: Regions in the order of the network's outputs; not needed for labels.
        power: 0 weights all alike, 1 balances in full.
        limit: No weight is above; that of what no case has.

    Raises:
        ConfigError: No voxels at all.
    """
    total = sum(voxels)
    if not total:
        raise ConfigError("there are no labelled training voxels to weight classes by")
    if head == "labels":
        pairs = [(inside, voxels[0]) for inside in voxels[1:]]
    else:
        insides = [sum(voxels[label] for label in REGIONS[region]) for region in regions]
        pairs = [(inside, total - inside) for inside in insides]
    return [
        min((outside / inside) ** power, limit) if inside else limit for inside, outside in pairs
    ]
