"""Several models on one case: mean of their probabilities, or fusion of their label maps.

Shapes: `C` modalities, `K` outputs, `X Y Z` space.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from lightning_brats.errors import ConfigError, DataError
from lightning_brats.inference.window import SlidingWindow
from lightning_brats.labels import labels_from_regions, region_masks
from lightning_brats.postprocess import Head, bounding_box

Predictor = Callable[[Tensor, Tensor | None], Tensor]
"""Image (C, X, Y, Z) and brain mask (X, Y, Z) or `None` → probabilities (K, X, Y, Z)."""


@dataclass(frozen=True)
class Member:
    """A network with the window and head it is used with: one predictor of an ensemble."""

    net: nn.Module
    window: SlidingWindow
    head: Head

    def __call__(self, image: Tensor, brain: Tensor | None = None) -> Tensor:
        """Probabilities (K, X, Y, Z) of an image (C, X, Y, Z)."""
        return self.window(self.net, image, self.head, brain)


class Ensemble:
    """Mean of the members' probabilities; itself a predictor.

    Args:
        members: Predictors with the same outputs; networks and windows may differ (2-D with 3-D).

    Raises:
        ConfigError: There is no member.
    """

    def __init__(self, members: Sequence[Predictor]) -> None:
        if not members:
            raise ConfigError("an ensemble needs at least one member")
        self.members = tuple(members)

    def each(self, image: Tensor, brain: Tensor | None = None) -> Iterator[Tensor]:
        """Probabilities (K, X, Y, Z) of one member after the other.

        Raises:
            ConfigError: A member has other outputs than the first.
        """
        shape: torch.Size | None = None
        for number, member in enumerate(self.members):
            probabilities = member(image, brain)
            shape = shape or probabilities.shape
            if probabilities.shape != shape:
                raise ConfigError(
                    f"ensemble member {number} returned {tuple(probabilities.shape)}, "
                    f"member 0 {tuple(shape)}",
                    remedy="combine models of one head and one set of regions",
                )
            yield probabilities

    def __call__(self, image: Tensor, brain: Tensor | None = None) -> Tensor:
        """Mean probabilities (K, X, Y, Z)."""
        total: Tensor | None = None
        for probabilities in self.each(image, brain):
            total = probabilities if total is None else total + probabilities
        assert total is not None  # there is a member
        return total / len(self.members)


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
