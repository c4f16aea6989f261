"""Small pictures of cases: an axial slice, all modalities side by side, the mask as contours."""

from __future__ import annotations

import base64
import io
from typing import NamedTuple

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.image import imsave
from scipy import ndimage
from skimage.transform import resize

from lightning_brats.data.entry import CachedCase
from lightning_brats.data.preprocess import Geometry
from lightning_brats.figures.style import REGION_COLOURS
from lightning_brats.figures.window import window
from lightning_brats.labels import REGIONS

HEIGHT = 132
"""Pixels."""
GAP = 3
MOST = 6
"""Modalities shown."""
QUALITY = 82
CONTOURS = ("WT", "TC", "ET", "RC")


class Thumbnail(NamedTuple):
    """A picture that can be put into a page as it is.

    Args:
        source: Data address of a JPEG.
        width: Pixels.
        height: Pixels.
        share: Where along the brain the slice lies, from 0 at the bottom to 1.
    """

    source: str
    width: int
    height: int
    share: float


def thumbnail(entry: CachedCase, share: float | None = None) -> Thumbnail:
    """Draw a case. The patient's left is on the right, as radiologists look at it.

    Args:
        entry: The case; one slice of its image is read.
        share: Where the slice lies along the brain; by default where the tumour is widest, or
            halfway up where there is none.

    Raises:
        DataError: The entry is damaged.
    """
    meta = entry.meta
    depth = meta["shape"][2]
    widest = (meta["statistics"]["tumour"] or {}).get("slice")
    if share is None and widest is not None:
        index = int(widest)
    else:
        index = min(int((0.5 if share is None else share) * depth), depth - 1)
    image = np.asarray(entry.image[:MOST, :, :, index], np.float32)
    mask = None if entry.mask is None else np.asarray(entry.mask[:, :, index])
    across, up, _ = Geometry.from_dict(meta["geometry"]).spacing
    _, columns, rows = image.shape
    width = max(8, round(HEIGHT * columns * across / (rows * up)))
    panels = [_panel(channel, mask, (HEIGHT, width)) for channel in image]
    picture = np.zeros((HEIGHT, len(panels) * (width + GAP) - GAP, 3))
    for number, panel in enumerate(panels):
        start = number * (width + GAP)
        picture[:, start : start + width] = panel
    return Thumbnail(_embedded(picture), picture.shape[1], HEIGHT, (index + 0.5) / depth)


def _panel(channel: np.ndarray, mask: np.ndarray | None, size: tuple[int, int]) -> np.ndarray:
    """(x, y) slice and mask → (height, width, 3) colours from 0 to 1."""
    low, high = window(channel[channel != 0])
    grey = np.clip((channel - low) / max(high - low, 1e-6), 0, 1)
    grey[channel == 0] = 0
    panel = np.repeat(_upright(grey, size)[..., None], 3, -1)
    if mask is not None:
        for region in CONTOURS:
            inside = _upright(np.isin(mask, REGIONS[region]).astype(np.float32), size) > 0.5
            panel[inside & ~ndimage.binary_erosion(inside)] = to_rgb(REGION_COLOURS[region])
    return panel


def _upright(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(x, y) in RAS+ order → (height, width): anterior on top, the patient's left on the right."""
    return np.clip(resize(array[::-1, ::-1].T, size, order=1, anti_aliasing=True), 0, 1)


def _embedded(picture: np.ndarray) -> str:
    file = io.BytesIO()
    # Colours at full resolution: contours are one pixel wide.
    imsave(file, picture, format="jpeg", pil_kwargs={"quality": QUALITY, "subsampling": 0})
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
