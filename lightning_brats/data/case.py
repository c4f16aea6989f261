"""A case and its arrays: what every other part of the data path passes on.

Shapes: `C` modalities, `X Y Z` voxels in the file's own order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lightning_brats.errors import DataError
from lightning_brats.labels import LabelScheme


@dataclass(frozen=True)
class ImageRef:
    """One modality: a 3-D file, one channel of a 4-D file, or a DICOM series in a folder.

    Args:
        path: The file; of a DICOM series its first slice.
        channel: Of a 4-D file.
        slices: Files of a DICOM series, in order.
    """

    path: Path
    channel: int | None = None
    slices: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Case:
    """One examination: where its volumes are and how its mask is coded.

    Args:
        case: Unique identifier; names the prediction file.
        patient: Cases of one patient never lie on two sides of a split.
        images: Modality → file.
        scheme: Coding of the mask's values.
        mask: Reference segmentation; `None` for a case to be predicted.
        brain: Brain mask (non-zero is brain); `None` where voxels `!= 0` are the brain.
        cohort: Data set or site, kept to the score table.
        grade: `HGG` or `LGG` where the data set says so.
        synthetic: Made by a model, never to be validated or tested on.
        origins: Patients that a synthetic case was made from, see `lightning_brats.data.synthetic`.
    """

    case: str
    patient: str
    images: Mapping[str, ImageRef]
    scheme: LabelScheme
    mask: Path | None = None
    brain: Path | None = None
    cohort: str = ""
    grade: str | None = None
    synthetic: bool = False
    origins: tuple[str, ...] = ()

    @property
    def files(self) -> list[Path]:
        """Every file of the case, each once."""
        refs = [path for ref in self.images.values() for path in (ref.slices or (ref.path,))]
        return list(dict.fromkeys([*refs, *(p for p in (self.mask, self.brain) if p)]))

    def with_modalities(self, modalities: Sequence[str]) -> Case:
        """The same case with these modalities, in this order.

        Raises:
            DataError: One of them is missing.
        """
        missing = [m for m in modalities if m not in self.images]
        if missing:
            found = {m: str(ref.path.name) for m, ref in self.images.items()}
            folder = next(iter(self.images.values())).path.parent if self.images else None
            raise DataError(
                f"modality {', '.join(missing)} is missing; found {found}",
                case=self.case,
                file=folder,
                remedy="add the file, drop the case, or train without it: "
                f"data.modalities=[{','.join(m for m in modalities if m in self.images)}]",
            )
        return replace(self, images={m: self.images[m] for m in modalities})


@dataclass(frozen=True)
class Native:
    """The grid that a resampled case's masks are written on.

    Args:
        shape: (X, Y, Z).
        affine: (4, 4) voxel → RAS+ mm.
        world: (4, 4) RAS+ mm of the resampled volume → RAS+ mm of this grid.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray
    world: np.ndarray


@dataclass(frozen=True)
class Volume:
    """Arrays of one case on one grid: that of its files, unless `native` says otherwise.

    Args:
        image: (C, X, Y, Z) float32.
        affine: (4, 4) voxel → RAS+ mm.
        mask: (X, Y, Z) uint8 internal labels, or `None`.
        brain: (X, Y, Z) bool.
        warnings: What is doubtful about how the case was brought here.
        native: The grid to return to, where the volume was resampled; its axes then run right,
            anterior, superior.
    """

    image: np.ndarray
    affine: np.ndarray
    mask: np.ndarray | None
    brain: np.ndarray
    warnings: tuple[str, ...] = ()
    native: Native | None = None

    def in_memory_order(self) -> Volume:
        """The same volume, its axes such that neighbours along the last lie side by side in memory.

        NIfTI files have them along the first. Reading against that order takes several times as
        long.
        """
        order = memory_order(self.image[0])
        return replace(
            self,
            image=self.image.transpose(0, *(axis + 1 for axis in order)),
            affine=self.affine[:, [*order, 3]],
            mask=None if self.mask is None else self.mask.transpose(order),
            brain=self.brain.transpose(order),
        )


def memory_order(array: np.ndarray) -> list[int]:
    """Axes of an array, the one whose neighbours are nearest in memory last."""
    steps = [-abs(stride) for stride in array.strides]
    return [int(axis) for axis in np.argsort(steps, kind="stable")]
