"""From a case on its own grid to the array that networks see, and exactly back.

A volume is turned to RAS+ axes, cropped to the brain and normalised inside it; voxels outside the
brain are 0. `Geometry` remembers what was done, so that masks and probabilities return to the grid
of the input file voxel by voxel.

Shapes: `C` modalities, `K` output channels, `X Y Z` the file's grid, `x y z` the cropped grid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import nibabel as nib
import numpy as np

from lightning_brats.data.case import Case, Volume, read_case
from lightning_brats.errors import ConfigError, DataError

Normalisation = Literal["zscore", "minmax"]
HALF_MAX = 60_000.0
"""Normalised values are clipped to what half precision can hold."""


@dataclass(frozen=True)
class Geometry:
    """Where a cropped array lies in its source file.

    Args:
        shape: (X, Y, Z) of the file.
        affine: Voxel → RAS+ mm of the file, row by row.
        box: First and last-plus-one voxel of the crop on each axis, after turning to RAS+.
    """

    shape: tuple[int, int, int]
    affine: tuple[tuple[float, ...], ...]
    box: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size in mm along the cropped array's axes."""
        size = nib.affines.voxel_sizes(np.asarray(self.affine))
        x, y, z = (float(size[int(axis)]) for axis in np.argsort(self._orientation()[:, 0]))
        return x, y, z

    def to_canonical(self, array: np.ndarray) -> np.ndarray:
        """(..., X, Y, Z) in the file's axes → RAS+ axes."""
        return _turn(array, self._orientation())

    def restore(self, array: np.ndarray) -> np.ndarray:
        """(..., x, y, z) on the crop → (..., X, Y, Z) on the file's grid, 0 outside the crop."""
        orientation = self._orientation()
        canonical = tuple(self.shape[int(axis)] for axis in np.argsort(orientation[:, 0]))
        full = np.zeros((*array.shape[:-3], *canonical), array.dtype)
        inside: tuple[Any, ...] = (..., *(slice(low, high) for low, high in self.box))
        full[inside] = array
        target = nib.orientations.axcodes2ornt("RAS")
        return _turn(full, nib.orientations.ornt_transform(target, orientation))

    def _orientation(self) -> np.ndarray:
        return nib.orientations.io_orientation(np.asarray(self.affine))

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Geometry:
        """Inverse of `to_dict`."""
        x, y, z = (int(v) for v in data["shape"])
        affine = tuple(tuple(float(v) for v in row) for row in data["affine"])
        box = [(int(low), int(high)) for low, high in data["box"]]
        return cls((x, y, z), affine, (box[0], box[1], box[2]))


@dataclass(frozen=True)
class Prepared:
    """A case as networks see it.

    Args:
        image: (C, x, y, z) float16, 0 outside the brain.
        mask: (x, y, z) uint8 internal labels, or `None`.
        geometry: The way back to the file's grid.
    """

    image: np.ndarray
    mask: np.ndarray | None
    geometry: Geometry


@dataclass(frozen=True)
class Preprocess:
    """Crop to the brain and normalise each modality inside it.

    Args:
        normalisation: `zscore` (mean 0, standard deviation 1 over brain voxels) or `minmax`
            (brain voxels to [0, 1]).
        clip: Lower and upper percentile of brain voxels to clip to before normalising.
        margin: Voxels kept around the brain's bounding box.
    """

    normalisation: Normalisation = "zscore"
    clip: Sequence[float] | None = None
    margin: int = 0

    def __post_init__(self) -> None:
        if self.normalisation not in ("zscore", "minmax"):
            raise ConfigError(
                f"preprocess.normalisation={self.normalisation} is unknown",
                remedy="choose zscore or minmax",
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON and checkpoints."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Preprocess:
        """Inverse of `to_dict`."""
        return cls(**data)

    def read(self, case: Case) -> Volume:
        """A case's files as arrays on one grid.

        Raises:
            DataError: See `read_case`.
        """
        return read_case(case)

    def __call__(self, case: Case, volume: Volume) -> Prepared:
        """Prepare what `read` gave.

        Raises:
            DataError: The brain is empty, or a modality has one value throughout it.
        """
        shape = volume.image.shape[1:]
        affine = tuple(tuple(float(v) for v in row) for row in volume.affine)
        whole = Geometry((shape[0], shape[1], shape[2]), affine, ((0, 0), (0, 0), (0, 0)))
        brain = whole.to_canonical(volume.brain)
        box = self._box(case, brain)
        crop = tuple(slice(low, high) for low, high in box)
        image = whole.to_canonical(volume.image)[(slice(None), *crop)]
        inside = brain[crop]
        out = np.zeros(image.shape, np.float16)
        for channel, modality in enumerate(case.images):
            out[channel][inside] = self._normalise(case, modality, image[channel][inside])
        mask = None
        if volume.mask is not None:
            mask = np.ascontiguousarray(whole.to_canonical(volume.mask)[crop])
        return Prepared(out, mask, Geometry(whole.shape, affine, box))

    def _box(
        self, case: Case, brain: np.ndarray
    ) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
        box = []
        for axis in range(3):
            others = tuple(other for other in range(3) if other != axis)
            inside = np.flatnonzero(brain.any(axis=others))
            if not inside.size:
                raise DataError(
                    "the brain is empty: every voxel is 0",
                    case=case.case,
                    file=case.brain or next(iter(case.images.values())).path,
                    remedy="check the brain mask and the images, or exclude the case",
                )
            low = max(int(inside[0]) - self.margin, 0)
            box.append((low, min(int(inside[-1]) + 1 + self.margin, brain.shape[axis])))
        return box[0], box[1], box[2]

    def _normalise(self, case: Case, modality: str, values: np.ndarray) -> np.ndarray:
        if values.min() == values.max():
            raise DataError(
                f"{modality} is constant ({values.flat[0]:g}) throughout the brain",
                case=case.case,
                file=case.images[modality].path,
                remedy="restore the image, or exclude the case",
            )
        if self.clip is not None:
            values = np.clip(values, *np.percentile(values, list(self.clip)))
        if self.normalisation == "minmax":
            return (values - values.min()) / (values.max() - values.min())
        centred = values - values.mean(dtype=np.float64)
        scaled = centred / max(float(values.std(dtype=np.float64)), np.finfo(np.float32).tiny)
        return np.clip(scaled, -HALF_MAX, HALF_MAX)


def _turn(array: np.ndarray, orientation: np.ndarray) -> np.ndarray:
    """Permute and flip the last three axes (`nibabel` works on the first three)."""
    lead = array.ndim - 3
    moved = np.moveaxis(array, range(lead), range(-lead, 0)) if lead else array
    turned = nib.orientations.apply_orientation(moved, orientation)
    return np.moveaxis(turned, range(-lead, 0), range(lead)) if lead else turned
