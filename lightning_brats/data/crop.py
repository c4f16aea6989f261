"""A crop that is the same for every case, as some published pipelines cut it.

Shapes: `X Y Z` a volume whose axes run right, anterior, superior.
"""

from __future__ import annotations

from collections.abc import Sequence

from lightning_brats.data.geometry import Box
from lightning_brats.errors import ConfigError

Crop = Sequence[Sequence[float]]
"""First and last mm on each axis, from the left, the posterior and the lower face of the volume."""


def check_crop(crop: Crop) -> None:
    """Nothing, where it is a box.

    Raises:
        ConfigError: It is none.
    """
    good = len(crop) == 3 and all(len(axis) == 2 and 0 <= axis[0] < axis[1] for axis in crop)
    if not good:
        raise ConfigError(
            f"preprocess.crop={[list(axis) for axis in crop]} is no box",
            remedy="give first and last mm on three axes: [[48,192],[48,192],[5,149]], or null for "
            "the brain's own box",
        )


def fixed_box(crop: Crop, shape: Sequence[int], spacing: Sequence[float]) -> Box:
    """The voxels of a crop: as many in every volume of this voxel size that is large enough.

    Args:
        crop: In mm.
        shape: (X, Y, Z) of the volume, beyond which nothing is cut.
        spacing: Voxel size in mm.

    Returns:
        First and last-plus-one voxel on each axis; empty where the volume does not reach the crop.
    """
    box = []
    for (first, last), size, edge in zip(crop, shape, spacing, strict=True):
        low = min(round(first / edge), size)
        box.append((low, min(low + round((last - first) / edge), size)))
    return box[0], box[1], box[2]
