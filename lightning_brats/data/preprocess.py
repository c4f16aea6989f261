"""From a case on its own grid to the array that networks see, and back.

A volume is turned to RAS+ axes, cropped to the brain and normalised inside it; voxels outside the
brain are 0. A scanner's own data go through `data/raw` first. `Geometry` remembers what was done,
so that masks and probabilities return to the grid of the input file.

Shapes: `C` modalities, `X Y Z` the volume's grid, `x y z` the cropped grid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from lightning_brats.data.case import Case, Volume, memory_order
from lightning_brats.data.crop import Crop, check_crop, fixed_box
from lightning_brats.data.geometry import Box, Geometry, Resampled, rows
from lightning_brats.data.normalisation import NORMALISATIONS, Landmarks, normalise, read_landmarks
from lightning_brats.data.raw.steps import CHOICES, BrainSource, RawSteps, check_choice
from lightning_brats.data.reading import read_case
from lightning_brats.errors import ConfigError, DataError

__all__ = ["Geometry", "Prepared", "Preprocess"]

MOST_SPACING = 20.0
"""mm; larger voxels hold no anatomy."""

LEARNT = "auto"
"""Stands for landmarks that are to be learnt from the split's training cases."""


@dataclass(frozen=True)
class Prepared:
    """A case as networks see it.

    Args:
        image: (C, x, y, z) float16, 0 outside the brain.
        mask: (x, y, z) uint8 internal labels, or `None`.
        geometry: The way back to the file's grid.
        warnings: What is doubtful about how the case was brought here.
    """

    image: np.ndarray
    mask: np.ndarray | None
    geometry: Geometry
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Preprocess:
    """Crop to the brain and normalise each modality inside it; raw data are made comparable first.

    Args:
        normalisation: Over the brain's voxels: `zscore` (mean 0, standard deviation 1), `minmax`
            (to [0, 1]), `percentile` (the percentiles of `clip`, 1 and 99 if not given, to 0 and 1,
            what is beyond them cut off) or `histogram` (standardised to `landmarks`).
        clip: Lower and upper percentile of brain voxels to clip to before normalising.
        margin: Voxels kept around the brain's bounding box.
        landmarks: Of `histogram`: modality → intensities, or the file that
            `python -m lightning_brats.data.raw.landmarks` wrote. `auto` leaves them to be learnt
            (`lightning_brats.landmarks`): until then cases are prepared as `provisional` says.
        spacing: Edge in mm of cubic voxels to resample to; `None` keeps the file's grid.
        brain: `provided` is the case's brain mask, `nonzero` what is not 0 in some modality,
            `extract` finds it in a head (`data/raw/brain.py` says how well). `None` takes a mask
            where the case has one, else `nonzero`.
        raw: Registration, denoising and bias field.
        crop: A box in mm that is the same for every case, instead of the brain's; `margin` is not
            used then. First and last of each axis, from the left, posterior and lower face of the
            volume. What lies outside is never segmented.

    Raises:
        ConfigError: A setting is unknown or cannot be.
    """

    normalisation: str = "zscore"
    clip: Sequence[float] | None = None
    margin: int = 0
    landmarks: Landmarks | str | Path | None = None
    spacing: float | None = None
    brain: BrainSource | None = None
    raw: RawSteps = field(default_factory=RawSteps)
    crop: Crop | None = None

    def __post_init__(self) -> None:
        if isinstance(self.raw, Mapping):
            object.__setattr__(self, "raw", RawSteps(**self.raw))
        if self.landmarks == LEARNT:
            if self.normalisation != "histogram":  # one default serves all normalisations
                object.__setattr__(self, "landmarks", None)
        elif isinstance(self.landmarks, str | Path):
            # Their values, not their file, go with the checkpoint.
            object.__setattr__(self, "landmarks", read_landmarks(Path(self.landmarks)))
        if self.normalisation not in NORMALISATIONS:
            raise ConfigError(
                f"preprocess.normalisation={self.normalisation} is unknown",
                remedy=f"choose {' or '.join(NORMALISATIONS)}",
            )
        check_choice("brain", self.brain, CHOICES["brain"])
        if self.crop is not None:
            check_crop(self.crop)
        if self.clip is not None and not (
            len(self.clip) == 2 and 0 <= self.clip[0] < self.clip[1] <= 100
        ):
            raise ConfigError(
                f"preprocess.clip={list(self.clip)} is not a lower and an upper percentile",
                remedy="for example preprocess.clip=[0.5,99.5]",
            )
        if self.spacing is not None and not 0 < self.spacing <= MOST_SPACING:
            raise ConfigError(
                f"preprocess.spacing={self.spacing} is no voxel size",
                remedy=f"give mm between 0 and {MOST_SPACING:g}, or null to keep the files' grid",
            )
        if self.normalisation == "histogram" and not self.landmarks:
            raise ConfigError(
                "preprocess.normalisation=histogram needs landmarks",
                remedy="preprocess.landmarks=auto learns them from the training cases; or fit them "
                "with python -m lightning_brats.data.raw.landmarks and name the file",
            )

    @property
    def provisional(self) -> Preprocess:
        """What cases can be prepared with while landmarks are still to be learnt: z-scores."""
        if self.landmarks != LEARNT:
            return self
        return replace(self, normalisation="zscore", landmarks=None)

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON and checkpoints; what came later and is not used is left out."""
        found = asdict(self)
        default = asdict(Preprocess())
        later = [entry.name for entry in fields(self)][3:]
        return {k: v for k, v in found.items() if k not in later or v != default[k]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Preprocess:
        """Inverse of `to_dict`, also of an earlier version's."""
        return cls(**data)

    def with_steps_of(self, other: Preprocess) -> Preprocess:
        """What comes before cropping from another one; crop and intensities stay as trained."""
        return replace(self, spacing=other.spacing, brain=other.brain, raw=other.raw)

    def check(self, case: Case) -> None:
        """What can be said of a case without reading it.

        Raises:
            DataError: It has no brain mask although one is to be provided.
            ConfigError: There are no landmarks for a modality.
        """
        if self.brain == "provided" and case.brain is None:
            raise DataError(
                "there is no brain mask, and preprocess.brain=provided asks for one",
                case=case.case,
                file=case.files[0].parent,
                remedy="name it in the table's column 'brain', or choose preprocess.brain=nonzero "
                "(skull-stripped) or extract (whole heads)",
            )
        if self.normalisation == "histogram":
            if not isinstance(self.landmarks, Mapping):
                raise ConfigError(
                    "the landmarks are still to be learnt from training cases",
                    case=case.case,
                    remedy="name a file of landmarks, or prepare with `Preprocess.provisional`",
                )
            missing = [modality for modality in case.images if modality not in self.landmarks]
            if missing:
                raise ConfigError(
                    f"there are no landmarks for {', '.join(missing)}; there are for "
                    f"{', '.join(self.landmarks)}",
                    case=case.case,
                    remedy="fit them on cases with all modalities",
                )

    def read(self, case: Case) -> Volume:
        """A case's files as arrays on one grid.

        Raises:
            DataError: See `read_case`; or registration failed and that is an error.
            ConfigError: See `check`.
        """
        self.check(case)
        if self.spacing is None and self.brain is None and self.raw == RawSteps():
            return read_case(case)
        # Here, because those who have prepared data need no SimpleITK.
        from lightning_brats.data.raw.chain import read_raw

        return read_raw(case, self.spacing, self.brain, self.raw)

    def __call__(self, case: Case, volume: Volume) -> Prepared:
        """Prepare what `read` gave.

        Raises:
            DataError: The brain is empty or outside the crop, or a modality has one value
                throughout it.
        """
        whole = _whole(volume)
        brain = whole.to_canonical(volume.brain)
        box = self._brain_box(case, brain)
        if self.crop is not None:
            box = self._fixed_box(case, brain, whole.spacing)
        crop = tuple(slice(low, high) for low, high in box)
        image = whole.to_canonical(volume.image)[(slice(None), *crop)]
        inside = brain[crop]
        out = np.empty(image.shape, np.float16)
        order = memory_order(image[0])  # against it, picking the brain's voxels takes much longer
        inside = inside.transpose(order)
        for channel, modality in enumerate(case.images):
            values = image[channel].transpose(order)[inside]
            scaled = np.zeros(inside.shape, np.float16)
            scaled[inside] = self._normalise(case, modality, values)
            out[channel].transpose(order)[:] = scaled
        mask = None
        if volume.mask is not None:
            mask = np.ascontiguousarray(whole.to_canonical(volume.mask)[crop])
        return Prepared(out, mask, _geometry(volume, whole, box), volume.warnings)

    def _brain_box(self, case: Case, brain: np.ndarray) -> Box:
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

    def _fixed_box(self, case: Case, brain: np.ndarray, spacing: Sequence[float]) -> Box:
        assert self.crop is not None
        box = fixed_box(self.crop, brain.shape, spacing)
        if not brain[tuple(slice(low, high) for low, high in box)].any():
            raise DataError(
                f"there is no brain in preprocess.crop={[list(axis) for axis in self.crop]} mm",
                case=case.case,
                file=next(iter(case.images.values())).path,
                remedy="give a crop for this data set's grid, or null for the brain's own box",
            )
        return box

    def _normalise(self, case: Case, modality: str, values: np.ndarray) -> np.ndarray:
        if values.min() == values.max():
            raise DataError(
                f"{modality} is constant ({values.flat[0]:g}) throughout the brain",
                case=case.case,
                file=case.images[modality].path,
                remedy="restore the image, or exclude the case",
            )
        marks = self.landmarks[modality] if isinstance(self.landmarks, Mapping) else None
        return normalise(values, self.normalisation, self.clip, marks)


def _whole(volume: Volume) -> Geometry:
    """The volume's own grid, uncropped."""
    x, y, z = volume.image.shape[1:]
    return Geometry((x, y, z), rows(volume.affine), ((0, 0), (0, 0), (0, 0)))


def _geometry(volume: Volume, whole: Geometry, box: Box) -> Geometry:
    native = volume.native
    if native is None:
        return Geometry(whole.shape, whole.affine, box)
    resampled = Resampled(whole.shape, rows(native.world @ volume.affine))
    return Geometry(native.shape, rows(native.affine), box, resampled)
