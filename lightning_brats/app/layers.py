"""What the viewer in the browser is given: small volumes and surfaces, as bytes.

Volumes are cropped to what is not empty, so that a case is a few megabytes.

Shapes: `C` modalities, `X Y Z` the file's grid, `x y z` the crop.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import nibabel as nib
import numpy as np
from isal import igzip
from scipy import ndimage
from skimage.measure import marching_cubes

from lightning_brats.data.case import Volume
from lightning_brats.figures.window import window
from lightning_brats.labels import REGIONS

MARGIN = 2
"""Voxels around what is not empty."""
LABELS = 1002
"""NIfTI's intent code for labels."""
MZ3 = 0x5A4D
FACES_AND_VERTICES = 3
SMOOTH = 0.8
"""Standard deviation, in voxels, that surfaces are smoothed with."""
COARSE = 3
"""Voxels that the brain's surface is sampled at."""
COARSEST, MOST_FACES = 6, 200_000
"""Voxels that a surface is sampled at if it would have more triangles; a tumour has a tenth."""
DEEPEST = 2**15 - 1
"""Of the grey values that are sent."""


@dataclass(frozen=True)
class Layers:
    """Bytes by key, and what they are: see `viewer.js`.

    Args:
        description: Of the modalities, masks, maps and surfaces, as JSON types.
        data: Key → gzipped NIfTI or MZ3 file.
    """

    description: dict[str, Any] = field(default_factory=dict)
    data: dict[str, bytes] = field(default_factory=dict)

    @cached_property
    def size(self) -> int:
        """Bytes in all."""
        return sum(map(len, self.data.values()))


@dataclass(frozen=True)
class Crop:
    """The part of a file's grid that is sent.

    Args:
        box: Of the grid.
        affine: (4, 4) of the part.
    """

    box: tuple[slice, slice, slice]
    affine: np.ndarray

    @classmethod
    def around(cls, inside: np.ndarray, affine: np.ndarray) -> Crop:
        """The smallest around voxels (X, Y, Z), with a margin; all where there are none."""
        box = []
        for axis, size in enumerate(inside.shape):
            others = tuple(other for other in range(3) if other != axis)
            places = np.flatnonzero(inside.any(others))
            low, high = (places[0], places[-1] + 1) if places.size else (0, size)
            box.append(slice(max(int(low) - MARGIN, 0), min(int(high) + MARGIN, size)))
        start = np.eye(4)
        start[:3, 3] = [part.start for part in box]
        return cls((box[0], box[1], box[2]), affine @ start)

    def image(self, values: np.ndarray, limits: tuple[float, float]) -> bytes:
        """A grey image (X, Y, Z) whose window opens with these limits."""
        part = np.asarray(values[self.box], np.float32)
        low, high = float(part.min()), float(part.max())
        slope = (high - low) / DEEPEST or 1.0
        steps = np.rint((part - low) / slope).astype(np.int16)
        image = nib.Nifti1Image(steps, self.affine)
        image.header.set_slope_inter(slope, low)
        image.header["cal_min"], image.header["cal_max"] = limits
        return _packed(image)

    def labels(self, labels: np.ndarray) -> bytes:
        """Internal labels (X, Y, Z)."""
        image = nib.Nifti1Image(labels[self.box].astype(np.uint8), self.affine)
        image.header["intent_code"] = LABELS
        return _packed(image)

    def share(self, values: np.ndarray) -> bytes:
        """Values (X, Y, Z) from 0 to 1."""
        steps = np.rint(np.clip(values[self.box], 0, 1) * 255).astype(np.uint8)
        image = nib.Nifti1Image(steps, self.affine)
        image.header.set_slope_inter(1 / 255, 0)
        image.header["cal_min"], image.header["cal_max"] = 0, 1
        return _packed(image)

    def surface(self, inside: np.ndarray, step: int = 1) -> bytes | None:
        """The surface of some voxels (X, Y, Z) in mm; `None` where there are none."""
        part = np.pad(inside[self.box], step)
        if not part.any():
            return None
        soft = ndimage.gaussian_filter(part.astype(np.float32), SMOOTH)
        level = 0.5 if soft.max() > 0.5 else 0.5 * float(soft.max())
        vertices, faces = _triangles(soft, level, step)
        places = nib.affines.apply_affine(self.affine, vertices - step)
        # Seen from outside, corners have to run counter-clockwise, also on mirrored grids.
        order = -1 if np.linalg.det(self.affine[:3, :3]) > 0 else 1
        return mz3(places, faces[:, ::order])


def _triangles(soft: np.ndarray, level: float, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Corners and faces; coarser where the mask is so ragged that a browser could not turn it."""
    while True:
        vertices, faces, _, _ = marching_cubes(soft, level, step_size=step)
        if len(faces) <= MOST_FACES or step >= COARSEST:
            return vertices, faces
        step += 1


def image_layers(volume: Volume, modalities: Sequence[str], crop: Crop) -> Layers:
    """The modalities, and the brain's surface.

    Args:
        volume: (C, X, Y, Z).
        modalities: C names.
        crop: What is sent.
    """
    out = Layers({"modalities": [], "brain": None})
    for name, channel in zip(modalities, volume.image, strict=True):
        limits = window(channel[volume.brain])
        out.data[f"image_{name}"] = crop.image(channel, limits)
        entry = {"name": name, "key": f"image_{name}", "limits": list(limits)}
        out.description["modalities"].append(entry)
    if brain := crop.surface(volume.brain, COARSE):
        out.data["brain"] = brain
        out.description["brain"] = "brain"
    return out


def mask_layers(
    prefix: str,
    masks: Mapping[str, np.ndarray],
    maps: Mapping[str, np.ndarray],
    regions: Sequence[str],
    crop: Crop,
) -> Layers:
    """Masks and maps on the same grid, and the surfaces of the first mask's regions.

    Args:
        prefix: Of the keys.
        masks: Name → internal labels (X, Y, Z); the first is shown first.
        maps: Name → values (X, Y, Z) from 0 to 1.
        regions: To draw, from the widest to the narrowest.
        crop: What is sent.
    """
    out = Layers({"masks": {}, "maps": {}, "surfaces": []})
    for name, labels in masks.items():
        key = out.description["masks"][name] = f"{prefix}_{name}"
        out.data[key] = crop.labels(labels)
    for name, values in maps.items():
        key = out.description["maps"][name] = f"{prefix}_{name}"
        out.data[key] = crop.share(values)
    first = next(iter(masks.values()))
    for region, surface in _surfaces(first, regions, crop):
        key = f"{prefix}_{region}"
        out.data[key] = surface
        out.description["surfaces"].append({"region": region, "key": key})
    return out


def mz3(vertices: np.ndarray, faces: np.ndarray) -> bytes:
    """Vertices (V, 3) in mm and triangles (F, 3) as an MZ3 file."""
    head = struct.pack("<HHIII", MZ3, FACES_AND_VERTICES, len(faces), len(vertices), 0)
    return head + faces.astype("<i4").tobytes() + vertices.astype("<f4").tobytes()


def _surfaces(
    labels: np.ndarray, regions: Sequence[str], crop: Crop
) -> Iterator[tuple[str, bytes]]:
    for region in regions:
        if surface := crop.surface(np.isin(labels, REGIONS[region])):
            yield region, surface


def _packed(image: nib.Nifti1Image) -> bytes:
    image.header.set_xyzt_units("mm")
    return igzip.compress(image.to_bytes(), 1)
