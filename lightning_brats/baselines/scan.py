"""What a classical method sees of a case, and what it has to offer.

Shapes: `C` modalities, `x y z` a prepared, cropped volume whose axes run right, anterior, superior.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol, overload

import numpy as np
from scipy import ndimage

from lightning_brats.data.cache import CachedCase
from lightning_brats.data.preprocess import Prepared

MAD_TO_SD = 1.4826
"""Standard deviations in a median absolute deviation of normally distributed values."""


@dataclass(frozen=True)
class Scan:
    """A prepared case by modality.

    Args:
        channels: Modality → (x, y, z) float32, 0 outside the brain.
        spacing: Voxel size in mm.
        labels: (x, y, z) uint8 internal labels; `None` for a case to be segmented.
        start: (x, y, z) uint8 internal labels that a network gave, to be refined.
    """

    channels: Mapping[str, np.ndarray]
    spacing: tuple[float, float, float]
    labels: np.ndarray | None = None
    start: np.ndarray | None = None

    @classmethod
    def of(cls, prepared: Prepared, modalities: Sequence[str], labelled: bool) -> Scan:
        """View a prepared case; its reference is left behind where it is to be segmented."""
        image = np.asarray(prepared.image, np.float32)
        mask = prepared.mask if labelled else None
        labels = None if mask is None else np.asarray(mask)
        named = dict(zip(modalities, image, strict=True))
        return cls(named, prepared.geometry.spacing, labels)

    @cached_property
    def brain(self) -> np.ndarray:
        """(x, y, z) bool: where any modality is not 0."""
        return np.any([channel != 0 for channel in self.channels.values()], axis=0)

    def standard(self, modality: str) -> np.ndarray:
        """(x, y, z) float32 with median 0 and robust standard deviation 1 in the brain.

        The tumour moves median and median absolute deviation little, and whatever normalisation
        came before, the result is the same up to rounding.
        """
        channel = self.channels[modality]
        inside = channel[self.brain]
        middle = np.median(inside)
        spread = MAD_TO_SD * np.median(np.abs(inside - middle))
        spread = spread if spread > 0 else inside.std()  # more than half of the voxels are equal
        out = np.zeros(channel.shape, np.float32)
        out[self.brain] = (inside - middle) / spread
        return out

    def smooth(self, values: np.ndarray, mm: float) -> np.ndarray:
        """(x, y, z) values, averaged with Gaussian weights over the brain alone, 0 outside it.

        Args:
            values: 0 outside the brain.
            mm: Standard deviation of the weights; 0 changes nothing.
        """
        if not mm:
            return values
        sigma = [mm / size for size in self.spacing]
        total = ndimage.gaussian_filter(values, sigma, mode="constant", truncate=3)
        weight = self._weight(mm)
        return np.where(self.brain, total / np.maximum(weight, 1e-3), 0).astype(np.float32)

    def _weight(self, mm: float) -> np.ndarray:
        """Share of the Gaussian's weights that lies in the brain, kept for the next channel."""
        if mm not in self._weights:
            sigma = [mm / size for size in self.spacing]
            brain = self.brain.astype(np.float32)
            self._weights[mm] = ndimage.gaussian_filter(brain, sigma, mode="constant", truncate=3)
        return self._weights[mm]

    @cached_property
    def _weights(self) -> dict[float, np.ndarray]:
        return {}


class Scans(Sequence[Scan]):
    """Prepared cases, each read when it is asked for.

    Args:
        entries: Their places in the cache.
        modalities: Order of the channels.
        labelled: Whether the references may be seen.
    """

    def __init__(
        self, entries: Sequence[CachedCase], modalities: Sequence[str], labelled: bool
    ) -> None:
        self.entries, self.modalities, self.labelled = entries, modalities, labelled

    def __len__(self) -> int:
        return len(self.entries)

    @overload
    def __getitem__(self, index: int) -> Scan: ...

    @overload
    def __getitem__(self, index: slice) -> Scans: ...

    def __getitem__(self, index: int | slice) -> Scan | Scans:
        if isinstance(index, slice):
            return Scans(list(self.entries)[index], self.modalities, self.labelled)
        return Scan.of(self.entries[index].prepared(), self.modalities, self.labelled)


class Baseline(Protocol):
    """A classical method."""

    needs: ClassVar[tuple[str, ...]]
    """Modalities without which it cannot work."""

    def fit(self, scans: Sequence[Scan], seed: int) -> dict[str, Any]:
        """Choose parameters on training cases.

        Args:
            scans: With labels.
            seed: Of everything that is drawn.

        Returns:
            What was found, as plain values for `summary.json`.
        """

    def segment(self, scan: Scan) -> np.ndarray:
        """(x, y, z) uint8 internal labels of a case."""


def drawn(scans: Sequence[Scan], most: int, seed: int) -> list[int]:
    """Indices of at most so many cases, in order."""
    if len(scans) <= most:
        return list(range(len(scans)))
    return sorted(np.random.default_rng(seed).choice(len(scans), most, replace=False).tolist())
