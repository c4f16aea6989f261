"""Steps that clean region masks.

A step takes masks (region → (X, Y, Z) bool) and the voxel spacing in mm, and returns new masks. Its
fields are plain values, so that a list of steps can be written in a config. Regions that a step
names and the data do not have are passed over: one config serves all label schemes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import cc3d
import numpy as np

from lightning_brats.errors import ConfigError
from lightning_brats.labels import REGIONS

Masks = Mapping[str, np.ndarray]
Spacing = Sequence[float]
Step = Callable[[Masks, Spacing], Masks]
Unit = Literal["voxels", "mm3"]


def check_regions(names: Sequence[str] | Mapping[str, float] | None) -> None:
    """Raise `ConfigError` on a name that is no region at all."""
    unknown = [name for name in names or () if name not in REGIONS]
    if unknown:
        raise ConfigError(f"postprocess: unknown regions {unknown}; choose from {list(REGIONS)}")


def changed(
    masks: Masks, regions: Sequence[str] | None, change: Callable[[np.ndarray], np.ndarray]
) -> Masks:
    """Masks with `change` applied to the regions named, to all where none are."""
    return {r: change(m) if regions is None or r in regions else m for r, m in masks.items()}


@dataclass(frozen=True)
class DropSmall:
    """Remove connected components (26 neighbours) smaller than a minimum.

    Args:
        minimum: Smallest component kept, for all regions or by region; others are left alone.
        unit: Of the minimum.
    """

    minimum: float | Mapping[str, float]
    unit: Unit = "mm3"

    def __post_init__(self) -> None:
        _check_unit(self.unit)
        if isinstance(self.minimum, Mapping):
            check_regions(self.minimum)

    def __call__(self, masks: Masks, spacing: Spacing) -> Masks:
        """Masks without their small components."""
        minima = self.minimum
        if not isinstance(minima, Mapping):
            minima = dict.fromkeys(masks, minima)
        out = dict(masks)
        for region in minima.keys() & masks.keys():
            voxels = _in_voxels(minima[region], self.unit, spacing)
            out[region] = cc3d.dust(masks[region], threshold=voxels, connectivity=26)
        return out


@dataclass(frozen=True)
class KeepLargest:
    """Keep the largest connected components (26 neighbours) of a region.

    Args:
        regions: Regions concerned.
        count: Components kept.
    """

    regions: Sequence[str] = ("WT",)
    count: int = 1

    def __post_init__(self) -> None:
        check_regions(self.regions)

    def __call__(self, masks: Masks, spacing: Spacing) -> Masks:
        """Masks with at most `count` components."""
        return changed(
            masks, self.regions, lambda m: cc3d.largest_k(m, k=self.count, connectivity=26) > 0
        )


@dataclass(frozen=True)
class Hierarchy:
    """Clip each region to the next wider one: ET to TC, TC to WT.

    Without this step a narrow region that sticks out of a wide one widens it.
    """

    def __call__(self, masks: Masks, spacing: Spacing) -> Masks:
        """Nested masks."""
        out = dict(masks)
        nested = [region for region in ("WT", "TC", "ET") if region in masks]
        for wide, narrow in itertools.pairwise(nested):
            out[narrow] = out[narrow] & out[wide]
        return out


@dataclass(frozen=True)
class ReplaceSmallET:
    """Call enhancing tumour necrotic core where a case has less of it than a minimum.

    The rule of BraTS winners since 2018: a few voxels of ET in a case without any cost the whole
    Dice of that case.

    Args:
        minimum: Least volume of ET in a case.
        unit: Of the minimum.
    """

    minimum: float
    unit: Unit = "voxels"

    def __post_init__(self) -> None:
        _check_unit(self.unit)

    def __call__(self, masks: Masks, spacing: Spacing) -> Masks:
        """Masks whose ET is empty or large enough; without a core region, small ET is dropped."""
        if "ET" not in masks or masks["ET"].sum() >= _in_voxels(self.minimum, self.unit, spacing):
            return masks
        core = next((region for region in ("TC", "NETC") if region in masks), None)
        kept = {**masks, "ET": np.zeros_like(masks["ET"])}
        return kept if core is None else {**kept, core: masks[core] | masks["ET"]}


def _check_unit(unit: str) -> None:
    if unit not in ("voxels", "mm3"):
        raise ConfigError(f"postprocess: unit={unit}: choose voxels or mm3")


def _in_voxels(minimum: float, unit: Unit, spacing: Spacing) -> int:
    """Smallest number of voxels that makes up the minimum."""
    voxels = minimum if unit == "voxels" else minimum / math.prod(spacing)
    return math.ceil(round(voxels, 6))
