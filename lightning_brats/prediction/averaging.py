"""Means of saved probabilities.

Networks that cannot be loaded together, other tools' among them, are averaged by what they wrote.

Shapes: `R` regions, `M` folders, `X Y Z` a file's grid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from lightning_brats.data.case import Case
from lightning_brats.data.layouts.names import patient_of
from lightning_brats.data.preprocess import Geometry
from lightning_brats.data.reading import AFFINE_TOLERANCE
from lightning_brats.errors import ConfigError, DataError
from lightning_brats.inference import entropy, mutual_information, predicted_dice
from lightning_brats.labels import REGIONS, LabelScheme
from lightning_brats.postprocess import Postprocess
from lightning_brats.prediction.segmenter import Prediction
from lightning_brats.prediction.soft import ENDING, SoftVolume, read_probabilities

OWN_FILES = "predict.py probabilities=true writes them"


@dataclass(frozen=True)
class Averaging:
    """How folders of probabilities become masks.

    Args:
        folders: M folders with `<case>_probabilities.nii.gz`.
        weights: One a folder; equal by default.
        regions: Channels of files that do not say it themselves.
        scheme: Label coding of the masks; by default the one that the files name.
        postprocess: Probabilities → labels; by default the one that the files name.
        uncertainty: Whether to measure where the folders disagree.

    Raises:
        ConfigError: A folder holds no probabilities, or the weights cannot be.
    """

    folders: Sequence[Path]
    weights: Sequence[float] | None = None
    regions: Sequence[str] | None = None
    scheme: LabelScheme | None = None
    postprocess: Postprocess | None = None
    uncertainty: bool = False

    def __post_init__(self) -> None:
        for folder, files in zip(self.folders, self.files, strict=True):
            if not files:
                raise ConfigError(f"there are no files *{ENDING}", file=folder, remedy=OWN_FILES)
        weights = self.weights
        if weights is not None and (
            len(weights) != len(self.folders)
            or not all(math.isfinite(w) and w >= 0 for w in weights)
            or not sum(weights)
        ):
            raise ConfigError(
                f"weights={list(weights)} of {len(self.folders)} folders",
                remedy="give each folder one, none negative, and not all 0",
            )
        unknown = [region for region in self.regions or () if region not in REGIONS]
        if unknown:
            raise ConfigError(
                f"unknown regions {unknown}", remedy=f"choose of {', '.join(REGIONS)}"
            )

    @cached_property
    def files(self) -> list[dict[str, Path]]:
        """Of each folder, case → file."""
        return [
            {path.name.removesuffix(ENDING): path for path in sorted(Path(f).glob(f"*{ENDING}"))}
            for f in self.folders
        ]

    def cases(self) -> list[str]:
        """Every case that any folder has, sorted."""
        return sorted(set().union(*self.files))

    def read(self, case: str) -> list[SoftVolume]:
        """A case of all folders.

        Raises:
            DataError: A folder lacks it, or files differ in grid, regions or coding.
        """
        for folder, files in zip(self.folders, self.files, strict=True):
            if case not in files:
                raise DataError(
                    "the folder has no probabilities of this case",
                    case=case,
                    file=folder,
                    remedy="give each folder the same cases",
                )
        volumes = [read_probabilities(files[case], case) for files in self.files]
        for volume in volumes[1:]:
            _check_grid(volumes[0], volume, case)
        return volumes

    def __call__(self, case: str, volumes: Sequence[SoftVolume]) -> tuple[Case, Prediction]:
        """Average a case that was read.

        Raises:
            DataError: Files differ in regions or coding, or do not say them.
            ConfigError: The files name different post-processings.
        """
        regions, scheme = self._regions(case, volumes), self._scheme(case, volumes)
        weights = np.asarray(self.weights or [1.0] * len(volumes), np.float32)
        mean = np.zeros_like(volumes[0].probabilities)
        for weight, volume in zip(weights / weights.sum(), volumes, strict=True):
            mean += weight * volume.probabilities
        geometry = _whole(volumes[0])
        mean = geometry.to_canonical(mean)
        labels = self.chosen(volumes)(mean, geometry.spacing, regions, "regions")
        soft = torch.from_numpy(np.ascontiguousarray(mean))
        found = Prediction(
            labels=labels,
            probabilities=mean,
            dice=predicted_dice(soft, "regions", regions),
            entropy=entropy(soft, "regions").mean(0).numpy(),
            disagreement=self._disagreement(volumes, geometry),
            geometry=geometry,
        )
        return Case(case, patient_of(case), {}, scheme), found

    def chosen(self, volumes: Sequence[SoftVolume]) -> Postprocess:
        """The post-processing for a case's mean; thresholds of 0.5 where the files name none.

        Raises:
            ConfigError: The files name different ones.
        """
        if self.postprocess is not None:
            return self.postprocess
        facts = [(volume.path, volume.facts) for volume in volumes if volume.facts]
        named = [(path, f.postprocess) for path, f in facts if f.postprocess is not None]
        for path, other in named:
            if other != named[0][1]:
                raise ConfigError(
                    f"the files name different post-processing: {named[0][0]}, {path}",
                    remedy="name one for the mean: postprocess=default",
                )
        return named[0][1] if named else Postprocess()

    def _regions(self, case: str, volumes: Sequence[SoftVolume]) -> tuple[str, ...]:
        given = tuple(self.regions) if self.regions else None
        first: tuple[str, ...] | None = None
        for volume in volumes:
            own = volume.facts.regions if volume.facts else given
            count = len(volume.probabilities)
            if own is None or len(own) != count:
                said = "does not say what they are" if own is None else f"the regions are {own}"
                raise DataError(
                    f"the file has {count} channels, and {said}",
                    case=case,
                    file=volume.path,
                    remedy="name them in order, such as 'regions=[WT,TC,ET]'",
                )
            first = first or own
            if own != first:
                raise DataError(
                    f"the regions are {', '.join(own)}, and {', '.join(first)} in "
                    f"{volumes[0].path}",
                    case=case,
                    file=volume.path,
                    remedy="average probabilities of the same regions, in the same order",
                )
        assert first is not None
        return first

    def _scheme(self, case: str, volumes: Sequence[SoftVolume]) -> LabelScheme:
        if self.scheme is not None:
            return self.scheme
        named = [v.facts.scheme for v in volumes if v.facts]
        if not named or any(dict(s.codes) != dict(named[0].codes) for s in named):
            raise DataError(
                "the files name different label codings" if named else "no file names a coding",
                case=case,
                file=volumes[0].path,
                remedy="name the masks' coding: labels=brats2023",
            )
        return named[0]

    def _disagreement(self, volumes: Sequence[SoftVolume], geometry: Geometry) -> np.ndarray | None:
        if not self.uncertainty or len(volumes) < 2:
            return None
        members = (
            torch.from_numpy(np.ascontiguousarray(geometry.to_canonical(v.probabilities)))
            for v in volumes
        )
        return mutual_information(members, "regions").mean(0).numpy()


def _whole(volume: SoftVolume) -> Geometry:
    """The file's whole grid, not cropped."""
    x, y, z = volume.probabilities.shape[1:]
    rows = tuple(tuple(float(v) for v in row) for row in volume.affine)
    unturned = Geometry((x, y, z), rows, ((0, x), (0, y), (0, z)))
    a, b, c = unturned.to_canonical(volume.probabilities[0]).shape
    return Geometry((x, y, z), rows, ((0, a), (0, b), (0, c)))


def _check_grid(first: SoftVolume, other: SoftVolume, case: str) -> None:
    shapes = [volume.probabilities.shape[1:] for volume in (first, other)]
    gap = float(np.abs(first.affine - other.affine).max())
    if shapes[0] == shapes[1] and gap <= AFFINE_TOLERANCE:
        return
    what = f"shapes {shapes[1]} and {shapes[0]}" if shapes[0] != shapes[1] else f"affines ({gap:g})"
    raise DataError(
        f"the grid is not that of {first.path}: {what}",
        case=case,
        file=other.path,
        remedy="save all probabilities on the input's own grid",
    )
