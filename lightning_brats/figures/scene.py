"""A case made ready for drawing: turned to RAS+, cropped to brain and masks, windowed.

Shapes: `C` modalities, `X Y Z` voxels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lightning_brats.errors import DataError
from lightning_brats.figures.planes import AXIAL, Plane, bounding_box, to_ras, widest_slices
from lightning_brats.figures.window import window
from lightning_brats.labels import REGIONS

SHOWN_REGIONS = ("WT", "TC", "ET", "RC")
MARGIN_MM = 6.0


@dataclass(frozen=True)
class Scene:
    """What the cells of a panel draw from.

    Args:
        image: (C, X, Y, Z) from 0 to 1, black outside the brain.
        modalities: Names of the channels.
        masks: `reference` and/or `prediction` → internal labels (X, Y, Z).
        affine: (4, 4) voxel → RAS+ mm.
        focus: (3,) voxel whose slices are shown.
    """

    image: np.ndarray
    modalities: Sequence[str]
    masks: Mapping[str, np.ndarray]
    affine: np.ndarray
    focus: tuple[int, int, int]

    @property
    def spacing(self) -> np.ndarray:
        """Voxel size (3,) in mm."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def regions(self) -> list[str]:
        """Regions of which any mask holds a voxel."""
        present = {int(label) for mask in self.masks.values() for label in np.unique(mask)}
        return [region for region in SHOWN_REGIONS if present & set(REGIONS[region])]

    def channel(self, modality: str) -> np.ndarray:
        """The modality's volume (X, Y, Z), or the last one where it was not acquired."""
        known = modality in self.modalities
        return self.image[list(self.modalities).index(modality) if known else -1]

    def size(self, plane: Plane) -> tuple[float, float]:
        """Width and height of a slice in mm."""
        across, up = (float(self.image.shape[1 + a] * self.spacing[a]) for a in plane.axes)
        return across, up

    def position(self, plane: Plane, index: int) -> float:
        """Where a slice through the focus crosses its axis in the scanner's space, in mm."""
        voxel = np.append(self.focus, 1)
        voxel[plane.axis] = index
        return float((self.affine @ voxel)[plane.axis])

    def widest_axial(self, region: str) -> int:
        """Axial slice where the region is widest, in the first mask that has any of it."""
        inside = (np.isin(mask, REGIONS[region]) for mask in self.masks.values())
        return widest_slices(next(mask for mask in inside if mask.any()))[AXIAL.axis]


def make_scene(
    image: np.ndarray,
    modalities: Sequence[str],
    masks: Mapping[str, np.ndarray | None],
    affine: np.ndarray,
    brain: np.ndarray | None = None,
) -> Scene:
    """Turn, crop and window a case; the focus is where the first non-empty mask is widest.

    Without a brain mask (X, Y, Z), the brain is where any modality is not 0.

    Raises:
        DataError: The channels are not as many as their names, or a mask has another shape.
    """
    given = {name: mask for name, mask in masks.items() if mask is not None}
    inside = (image != 0).any(0) if brain is None else brain
    _check(image, modalities, {**given, "brain mask": inside})
    image, turned = to_ras(image, affine)
    brain = to_ras(inside, affine)[0]
    given = {name: to_ras(mask, affine)[0] for name, mask in given.items()}
    margin = np.ceil(MARGIN_MM / np.linalg.norm(turned[:3, :3], axis=0)).astype(int)
    shown = np.any([brain, *(mask > 0 for mask in given.values())], axis=0)
    box = bounding_box(shown, margin)
    start = np.eye(4)
    start[:3, 3] = [part.start for part in box]
    given = {name: mask[box] for name, mask in given.items()}
    tumour = next((mask > 0 for mask in given.values() if mask.any()), brain[box])
    return Scene(
        np.stack([_grey(channel[box], brain[box]) for channel in image]),
        tuple(modalities),
        given,
        turned @ start,
        widest_slices(tumour),
    )


def _grey(channel: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """Values from 0 to 1 between the window's limits, 0 outside the brain."""
    low, high = window(channel[brain])
    grey = np.clip((channel - low) / max(high - low, 1e-6), 0, 1)
    return np.where(brain, grey, 0).astype(np.float32)


def _check(image: np.ndarray, modalities: Sequence[str], masks: Mapping[str, np.ndarray]) -> None:
    if image.ndim != 4 or len(image) != len(modalities):
        raise DataError(
            f"an image of shape {image.shape} does not go with modalities {list(modalities)}",
            remedy="give an array (C, X, Y, Z) and one name a channel",
        )
    for name, mask in masks.items():
        if mask.shape != image.shape[1:]:
            raise DataError(
                f"the {name} has shape {mask.shape}, the image {image.shape[1:]}",
                remedy="segment and score the case on one grid",
            )
