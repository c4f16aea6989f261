"""A result made ready for the viewer: its scans and masks in the order right, anterior, superior.

Shapes: `X Y Z` voxels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lightning_brats.app.layers import Crop, Layers, image_layers, mask_layers
from lightning_brats.app.segmenting import Result, nested
from lightning_brats.data.nifti import read_nifti
from lightning_brats.data.reading import read_native
from lightning_brats.errors import DataError
from lightning_brats.figures.planes import to_ras, widest_slices
from lightning_brats.figures.style import AGREEMENT, FALSE, MISSED, REGION_COLOURS
from lightning_brats.labels import REGION_NAMES, REGIONS, TISSUES

SEGMENTATION, REFERENCE = "segmentation", "reference"
MODALITY_TITLES = {"t1n": "T1", "t1c": "T1c", "t2w": "T2", "t2f": "FLAIR"}


@dataclass(frozen=True)
class Drawn:
    """What the viewer needs of a result.

    Args:
        images: Modalities and brain.
        masks: Segmentation, reference, maps and surfaces.
        focus: Where the cross-hair starts, in mm.
    """

    images: Layers
    masks: Layers
    focus: tuple[float, float, float]


def draw(result: Result, prefix: str = "a") -> Drawn:
    """Bytes for the viewer.

    Args:
        result: Of a segmentation.
        prefix: Of its masks' keys, so that two results can be shown side by side.

    Raises:
        DataError: A file cannot be read.
    """
    volume = read_native(result.segmented)
    assert volume.mask is not None
    labels = {SEGMENTATION: volume.mask}
    reference = _reference(result)
    if reference is not None:
        labels[REFERENCE] = reference
    maps = {name: read_nifti(path)[0] for name, path in result.maps.items()}
    shown = volume.brain if reference is None else volume.brain | (reference > 0)
    image, affine = to_ras(volume.image, volume.affine)
    brain, shown = (to_ras(array, volume.affine)[0] for array in (volume.brain, shown))
    labels = {name: to_ras(array, volume.affine)[0] for name, array in labels.items()}
    maps = {name: to_ras(array, volume.affine)[0] for name, array in maps.items()}
    crop = Crop.around(shown, affine)
    turned = replace(volume, image=image, affine=affine, brain=brain)
    place = widest_slices(labels[SEGMENTATION] if labels[SEGMENTATION].any() else brain)
    x, y, z = (affine @ [*place, 1])[:3].tolist()
    return Drawn(
        image_layers(turned, list(result.case.images), crop),
        mask_layers(prefix, labels, maps, nested(result.regions), crop),
        (x, y, z),
    )


def specify(name: str, panels: dict[str, Drawn], regions: tuple[str, ...]) -> dict:
    """What the viewer is told, as JSON types.

    Args:
        name: Changes when anything else does.
        panels: Title → result; all of one case.
        regions: That can be switched.
    """
    first = next(iter(panels.values()))
    modalities = first.images.description["modalities"]
    return {
        "id": name,
        "modalities": [
            {**each, "title": MODALITY_TITLES.get(each["name"], each["name"])}
            for each in modalities
        ],
        "brain": first.images.description["brain"],
        "panels": [{"title": t, **each.masks.description} for t, each in panels.items()],
        "regions": [
            {
                "name": region,
                "title": REGION_NAMES[region],
                "colour": REGION_COLOURS[region],
                "labels": list(REGIONS[region]),
            }
            for region in nested(regions)
        ],
        "tissues": list(TISSUES),
        "errors": {"agreement": AGREEMENT, "missed": MISSED, "false": FALSE},
        "focus": list(first.focus),
    }


def _reference(result: Result) -> np.ndarray | None:
    """The reference, where it can be used: what is wrong with it is said where it is scored."""
    try:
        return result.reference()
    except DataError:
        return None
