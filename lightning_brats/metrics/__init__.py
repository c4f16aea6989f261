"""Segmentation metrics: whole-volume, and lesion-wise after the BraTS challenges' rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, overload

from lightning_brats.errors import ConfigError
from lightning_brats.labels import RC, REGIONS
from lightning_brats.metrics.lesionwise import Lesion
from lightning_brats.metrics.protocols import PROTOCOLS, Protocol
from lightning_brats.metrics.table import METRICS, Metric
from lightning_brats.metrics.volumes import Spacing, Volume, label_pair

__all__ = ["METRICS", "PROTOCOLS", "Lesion", "Metric", "Protocol", "score_case"]

RegionScores = dict[str, dict[str, float]]


@overload
def score_case(
    reference: Volume,
    prediction: Volume,
    spacing: Spacing | None = ...,
    protocol: str = ...,
    lesions: Literal[False] = ...,
    regions: Sequence[str] | None = ...,
) -> RegionScores: ...


@overload
def score_case(
    reference: Volume,
    prediction: Volume,
    spacing: Spacing | None = ...,
    protocol: str = ...,
    *,
    lesions: Literal[True],
    regions: Sequence[str] | None = ...,
) -> tuple[RegionScores, list[Lesion]]: ...


def score_case(
    reference: Volume,
    prediction: Volume,
    spacing: Spacing | None = None,
    protocol: str = "legacy",
    lesions: bool = False,
    regions: Sequence[str] | None = None,
) -> RegionScores | tuple[RegionScores, list[Lesion]]:
    """Score one case.

    Args:
        reference: (X, Y, Z) labels 0 to 4 in the internal coding, which is the challenges' of 2023
            and later, or the path of a NIfTI file.
        prediction: The same.
        spacing: Voxel edge lengths in mm; by default the reference file's, or 1 mm for arrays.
        protocol: A name in `PROTOCOLS`.
        lesions: Also return the lesions, one row each.
        regions: Regions to score; by default the protocol's.

    Returns:
        Region → metric → value, metrics as in `METRICS`; with `lesions`, that and the rows.
        HD95 is infinite where one of the two masks is empty.

    Raises:
        DataError: Volumes that cannot be read, do not fit together or hold other values.
        ConfigError: An unknown protocol or region.
    """
    if protocol not in PROTOCOLS:
        raise ConfigError(f"unknown protocol '{protocol}'", remedy=f"one of {', '.join(PROTOCOLS)}")
    unknown = [region for region in regions or () if region not in REGIONS]
    if unknown:
        raise ConfigError(f"unknown regions {unknown}", remedy=f"choose from {', '.join(REGIONS)}")
    rules = PROTOCOLS[protocol]
    pair = label_pair(reference, prediction, spacing)
    if regions is None:
        regions = rules.regions
        if protocol == "legacy" and pair.holds(RC):
            regions = (*regions, "RC")
    found, rows = rules.score(pair, regions)
    scores = {
        region: {name: values[name] for name in METRICS if name in values}
        for region, values in found.items()
    }
    return (scores, rows) if lesions else scores
