"""Fusion of several label maps of one case, voxel by voxel.

Shapes: `X Y Z` space.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lightning_brats.errors import DataError
from lightning_brats.labels import labels_from_regions, region_masks
from lightning_brats.postprocess import bounding_box


def majority_vote(maps: Sequence[np.ndarray], regions: Sequence[str]) -> np.ndarray:
    """Labels (X, Y, Z) that are in a region where more than half of the maps are.

    Votes are counted by region, so nested regions stay nested.

    Raises:
        DataError: There is no map, or their shapes differ.
    """
    _check_maps(maps)
    votes = np.sum([region_masks(labels, regions) for labels in maps], axis=0)
    return labels_from_regions(2 * votes > len(maps), regions)


def staple(maps: Sequence[np.ndarray], regions: Sequence[str]) -> np.ndarray:
    """Labels (X, Y, Z) by STAPLE (Warfield et al., TMI 2004), which weighs maps by reliability.

    Each region is estimated on its own, inside the bounding box of all maps' foreground: the whole
    head's background would make every map look equally specific.

    Raises:
        DataError: There is no map, or their shapes differ.
    """
    import SimpleITK

    _check_maps(maps)
    fused = np.zeros((len(regions), *maps[0].shape), bool)
    for number, region in enumerate(regions):
        masks = np.stack([region_masks(labels, [region])[0] for labels in maps])
        union, common = np.any(masks, axis=0), np.all(masks, axis=0)
        if np.array_equal(union, common):  # nothing to weigh, and STAPLE would divide by zero
            fused[number] = common
            continue
        box = bounding_box(union)
        images = [SimpleITK.GetImageFromArray(mask[box].astype(np.uint8)) for mask in masks]
        fused[number][box] = SimpleITK.GetArrayFromImage(SimpleITK.STAPLE(images, 1.0)) > 0.5
    return labels_from_regions(fused, regions)


def _check_maps(maps: Sequence[np.ndarray]) -> None:
    shapes = {labels.shape for labels in maps}
    if len(shapes) != 1:
        raise DataError(
            f"label maps to fuse have shapes {sorted(shapes)}",
            remedy="fuse one or more maps of one case, on one grid",
        )
