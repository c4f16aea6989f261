"""One axial slice of a case as every choice sees it: small pictures for side-by-side views.

Shapes: `X Y Z` voxels, `V H` rows (from the top) and columns of a picture.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import to_rgb
from PIL import Image
from scipy import ndimage
from skimage.transform import resize

from lightning_brats.figures.cells import CLEAREST
from lightning_brats.figures.planes import AXIAL, take
from lightning_brats.figures.scene import Scene
from lightning_brats.figures.slices import MODALITY_NAMES
from lightning_brats.figures.style import AGREEMENT, FALSE, MISSED, REGION_COLOURS
from lightning_brats.labels import REGIONS

HEIGHT = 300
"""Pixels."""
LINE = 2
"""Pixels of a contour."""
QUALITY = 78
REFERENCE = "reference"


@dataclass(frozen=True)
class View:
    """One way to look at a case, a picture a mask.

    Args:
        key: Short name.
        title: What is seen.
        pictures: Mask → data address of a WebP file.
    """

    key: str
    title: str
    pictures: dict[str, str]


def views(scene: Scene) -> list[View]:
    """Outlines of the regions on two modalities, then the errors of each region.

    Args:
        scene: With a mask `reference` first, and others by name; all are seen on the slice where
            the reference is widest.
    """
    index = scene.focus[AXIAL.axis]
    modalities = dict.fromkeys(m for m in (CLEAREST["TC"], CLEAREST["WT"]) if m in scene.modalities)
    found = []
    for modality in modalities or (scene.modalities[-1],):
        grey = _grey(scene, modality, index)
        pictures = {
            name: _encoded(_outlined(grey, scene, mask, index))
            for name, mask in scene.masks.items()
        }
        found.append(View(modality, MODALITY_NAMES.get(modality, modality), pictures))
    return [*found, *_errors(scene, index)]


def _errors(scene: Scene, index: int) -> Iterator[View]:
    reference = scene.masks[REFERENCE]
    for region in scene.regions:
        grey = 0.75 * _grey(scene, CLEAREST[region], index)
        truth = _inside(scene, reference, region, index)
        pictures = {
            name: _encoded(_compared(grey, truth, _inside(scene, mask, region, index)))
            for name, mask in scene.masks.items()
        }
        yield View(f"errors-{region}", f"{region} errors", pictures)


def _size(scene: Scene) -> tuple[int, int]:
    across, up = scene.size(AXIAL)
    return HEIGHT, max(8, round(HEIGHT * across / up))


def _grey(scene: Scene, modality: str, index: int) -> np.ndarray:
    """Slice (V, H) from 0 to 1."""
    picture = take(scene.channel(modality), AXIAL, index)[::-1]
    return np.clip(resize(picture, _size(scene), order=3, anti_aliasing=True), 0, 1)


def _inside(scene: Scene, mask: np.ndarray, region: str, index: int) -> np.ndarray:
    """Where a region lies on the slice (V, H)."""
    picture = take(np.isin(mask, REGIONS[region]), AXIAL, index)[::-1].astype(np.float32)
    return resize(picture, _size(scene), order=1) > 0.5


def _outlined(grey: np.ndarray, scene: Scene, mask: np.ndarray, index: int) -> np.ndarray:
    picture = np.repeat(grey[..., None], 3, -1)
    for region in scene.regions:
        inside = _inside(scene, mask, region, index)
        edge = inside & ~ndimage.binary_erosion(inside, iterations=LINE)
        picture[edge] = to_rgb(REGION_COLOURS[region])
    return picture


def _compared(grey: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Voxels in both masks, missed, or false, over the slice."""
    picture = np.repeat(grey[..., None], 3, -1)
    kinds = ((truth & mask, AGREEMENT, 0.5), (truth & ~mask, MISSED, 0.9))
    for where, colour, weight in (*kinds, (mask & ~truth, FALSE, 0.9)):
        picture[where] = (1 - weight) * picture[where] + weight * np.array(to_rgb(colour))
    return picture


def _encoded(picture: np.ndarray) -> str:
    file = io.BytesIO()
    pixels = np.round(255 * np.clip(picture, 0, 1)).astype(np.uint8)
    Image.fromarray(pixels).save(file, format="WEBP", quality=QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
