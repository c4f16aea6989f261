"""Which patient's tumour goes into which patient's brain, and what becomes of it on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lightning_brats.data.cache import CachedCase
from lightning_brats.data.case import Case
from lightning_brats.data.geometry import interpolate_labels
from lightning_brats.errors import ConfigError, DataError
from lightning_brats.labels import REGIONS, TISSUES
from lightning_brats.synthesis.hosts import Host
from lightning_brats.synthesis.variation import Placed, mirrored, place, rescaled, tight

ATTEMPTS = 50
"""Draws of donor, host and transform before a case is given up."""


@dataclass(frozen=True)
class Transforms:
    """What tumours go through.

    Args:
        scale: Least and largest factor of the volume, drawn evenly on a log scale; `[1, 1]` keeps
            it.
        mirror: Probability of exchanging left and right.
        favour: Region; donors are drawn in proportion to how much of it they have.

    Raises:
        ConfigError: A value that cannot be.
    """

    scale: Sequence[float] = (0.6, 1.7)
    mirror: float = 0.5
    favour: str | None = None

    def __post_init__(self) -> None:
        low, high = self.scale
        if not 0 < low <= high or not 0 <= self.mirror <= 1:
            raise ConfigError(
                f"transforms.scale={list(self.scale)}, mirror={self.mirror} cannot be",
                remedy="for example transforms.scale=[0.6,1.7] transforms.mirror=0.5",
            )
        if self.favour is not None and self.favour not in REGIONS:
            remedy = f"choose from {', '.join(REGIONS)}"
            raise ConfigError(f"transforms.favour={self.favour} is no region", remedy=remedy)


@dataclass(frozen=True)
class Variation:
    """A new label map, and where it comes from.

    Args:
        donor: Whose tumour.
        host: Whose brain.
        labels: (x, y, z) internal labels on the host's prepared grid.
        facts: What was done, as plain types.
    """

    donor: Case
    host: Case
    labels: np.ndarray
    facts: Mapping[str, Any]


class Planner:
    """Draws variations; each is a function of its own number.

    Args:
        cases: Training cases, donors and hosts.
        entries: The same, prepared.
        transforms: What tumours go through.
        seed: Of all draws.
        prepare: Host of a prepared case.

    Raises:
        DataError: No case has a tumour (with the favoured region), or there is one patient alone.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        entries: Sequence[CachedCase],
        transforms: Transforms,
        seed: int,
        prepare: Callable[[CachedCase], Host],
    ) -> None:
        self.cases, self.entries = list(cases), list(entries)
        self.transforms, self.seed, self.prepare = transforms, seed, prepare
        region = transforms.favour
        wanted = REGIONS[region] if region else tuple(range(1, len(TISSUES)))
        voxels = np.array([entry.meta["voxels"] for entry in self.entries], float)
        amount = voxels[:, [label - 1 for label in wanted]].sum(1)
        if not amount.any():
            problem = f"no training case has any {region or 'tumour'}, so there is no donor"
            raise DataError(problem, remedy="train the generator on cases that have")
        if len({case.patient for case in self.cases}) < 2:
            remedy = "train the generator on two patients or more"
            raise DataError("a donor and a host are two patients; there is one", remedy=remedy)
        self._chances = amount / amount.sum() if region else (amount > 0) / (amount > 0).sum()

    def draw(self, number: int) -> tuple[Variation, Host]:
        """The variation of a number, and the brain that it lies in.

        Raises:
            DataError: No tumour found a place in any brain that was tried.
        """
        rng = np.random.default_rng((self.seed, number))
        for _ in range(ATTEMPTS):
            giver = int(rng.choice(len(self.cases), p=self._chances))
            patient = self.cases[giver].patient
            others = [i for i, case in enumerate(self.cases) if case.patient != patient]
            taker = others[int(rng.integers(len(others)))]
            host = self.prepare(self.entries[taker])
            tumour, facts = self._transformed(self.entries[giver], host.spacing, rng)
            found = place(tumour, host.ground(), host.spacing, rng)
            if found is not None:
                facts |= _described(found, host.spacing)
                return Variation(self.cases[giver], self.cases[taker], found.labels, facts), host
        raise DataError(
            f"none of {ATTEMPTS} tumours found a place in a brain",
            remedy="make them smaller: transforms.scale=[0.3,0.8]",
        )

    def _transformed(
        self, donor: CachedCase, spacing: Sequence[float], rng: np.random.Generator
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """The donor's tumour at the host's voxel size, mirrored and rescaled."""
        labels = np.asarray(donor.mask)
        own = donor.prepared().geometry.spacing
        if not np.allclose(own, spacing, rtol=0.01):
            step = np.array(spacing) / own
            size = tuple(int(np.ceil(n / s)) for n, s in zip(labels.shape, step, strict=True))
            labels = interpolate_labels(labels, np.diag([*step, 1.0]), size)
        flip = bool(rng.random() < self.transforms.mirror)
        low, high = np.log(self.transforms.scale)
        factor = float(np.exp(rng.uniform(low, high)))
        tumour = tight(mirrored(labels) if flip else labels)
        if factor != 1:
            tumour = rescaled(tumour, factor, spacing, rng)
        return tumour, {"mirrored": flip, "volume_factor": round(factor, 3)}


def _described(found: Placed, spacing: Sequence[float]) -> dict[str, Any]:
    voxels = np.bincount(found.labels.ravel(), minlength=len(TISSUES))
    ml = float(np.prod(spacing)) / 1000
    return {
        "corner_voxel": list(found.corner),
        "kept_share": round(found.kept, 3),
        "tissue_ml": {name: round(float(voxels[k]) * ml, 3) for k, name in enumerate(TISSUES) if k},
    }
