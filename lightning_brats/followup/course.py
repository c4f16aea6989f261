"""A patient's time points compared: measured on their own grids, changes on the first one's.

Shapes: X Y Z a time point's own voxels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

import nibabel as nib
import numpy as np
import pandas as pd

from lightning_brats.data.geometry import interpolate_labels
from lightning_brats.data.raw.quality import POOR
from lightning_brats.data.raw.registration import register
from lightning_brats.data.raw.scan import Scan
from lightning_brats.data.reading import AFFINE_TOLERANCE
from lightning_brats.errors import ConfigError, DataError
from lightning_brats.figures.planes import to_ras
from lightning_brats.followup.diameters import bidimensional_product
from lightning_brats.followup.growth import growth_table, in_order
from lightning_brats.labels import REGIONS, region_masks

Registration = Literal["auto", "always", "never"]
STABLE, NEW, GONE = 1, 2, 3
"""Values of a change map."""


@dataclass(frozen=True)
class TimePoint:
    """One examination of a patient.

    Args:
        name: Of the examination.
        labels: (X, Y, Z) uint8, internal labels.
        affine: (4, 4) voxel → RAS+ mm.
        day: When it was; `None` where that is not known.
        scan: An image on any grid in the same space, to be registered by and drawn.
    """

    name: str
    labels: np.ndarray
    affine: np.ndarray
    day: date | None = None
    scan: Scan | None = None

    @property
    def millilitres(self) -> float:
        """Volume of a voxel."""
        return abs(float(np.linalg.det(self.affine[:3, :3]))) / 1000


@dataclass(frozen=True)
class FollowUp:
    """What became of a patient's tumour.

    Args:
        points: In order of time.
        regions: That were measured.
        volumes: Rows `point, date, region, ml`, and `bidimensional_mm2` of enhancing tumour.
        growth: See `growth.growth_table`.
        aligned: Point → its labels on the first point's grid.
        quality: Point → how well it was registered; without those that were not.
        notes: What a reader should know.
    """

    points: tuple[TimePoint, ...]
    regions: tuple[str, ...]
    volumes: pd.DataFrame
    growth: pd.DataFrame
    aligned: Mapping[str, np.ndarray]
    quality: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def intervals(self) -> list[tuple[str, str]]:
        """Each point and the next; the first and the last where there are more than two."""
        return list(dict.fromkeys(zip(self.growth["start"], self.growth["end"], strict=True)))

    def change(self, start: str, end: str, region: str) -> np.ndarray:
        """(X, Y, Z) uint8 on the first point's grid: 0 neither, 1 stable, 2 new, 3 gone."""
        before, after = (region_masks(self.aligned[name], [region])[0] for name in (start, end))
        out = np.zeros(before.shape, np.uint8)
        out[before & after], out[after & ~before], out[before & ~after] = STABLE, NEW, GONE
        return out


def follow_up(
    points: Sequence[TimePoint],
    regions: Sequence[str] = ("WT", "TC", "ET"),
    registration: Registration = "auto",
) -> FollowUp:
    """Measure time points and bring them into the first one's space.

    Volumes are those of each point's own mask: nothing is resampled before it is measured.

    Args:
        points: Two or more, in order of time, with names of their own.
        regions: To measure.
        registration: `auto` registers (rigidly) a point whose mask has another grid than the
            first's; `always` every point, for scans that share a grid but not the head's place;
            `never` trusts the scanner's coordinates.

    Raises:
        ConfigError: An unknown region or choice.
        DataError: There are too few points, names or dates are wrong, or a registration lacks an
            image.
    """
    _check(points, regions, registration)
    first = points[0]
    aligned, quality, notes = {first.name: first.labels}, {}, []
    for point in points[1:]:
        same = _same_grid(first, point)
        matrix = np.eye(4)
        if registration == "always" or (registration == "auto" and not same):
            matrix, quality[point.name] = _registered(first, point)
            if quality[point.name] < POOR:
                notes.append(
                    f"{point.name} could not be registered well to {first.name} (quality "
                    f"{quality[point.name]:.2f}, below {POOR}): do not trust its change maps."
                )
        elif not same:
            notes.append(f"{point.name} was placed by the scanner's coordinates alone.")
        aligned[point.name] = _brought(point, first, matrix)
    volumes = _volumes(points, regions)
    return FollowUp(
        points=tuple(points),
        regions=tuple(regions),
        volumes=volumes,
        growth=growth_table(volumes),
        aligned=aligned,
        quality=quality,
        notes=tuple(notes),
    )


def _check(points: Sequence[TimePoint], regions: Sequence[str], registration: str) -> None:
    unknown = [region for region in regions if region not in REGIONS]
    if unknown or not regions:
        raise ConfigError(f"unknown regions {unknown}", remedy=f"choose of {', '.join(REGIONS)}")
    if registration not in ("auto", "always", "never"):
        raise ConfigError(f"registration={registration}: choose auto, always or never")
    names = [point.name for point in points]
    if len(points) < 2:
        raise DataError(
            f"{len(points)} time point ({', '.join(names)}): there is nothing to compare",
            remedy="give two or more examinations of one patient",
        )
    if len(set(names)) < len(names):
        raise DataError(f"time points share a name: {', '.join(names)}")
    if not in_order([point.day for point in points]):
        said = ", ".join(f"{point.name} {point.day}" for point in points)
        raise DataError(f"the time points are not in order of their dates: {said}")


def _same_grid(first: TimePoint, other: TimePoint) -> bool:
    close = np.abs(first.affine - other.affine).max() <= AFFINE_TOLERANCE
    return first.labels.shape == other.labels.shape and bool(close)


def _registered(first: TimePoint, point: TimePoint) -> tuple[np.ndarray, float]:
    """World of the first point → world of the other one, and how good that is."""
    for one in (first, point):
        if one.scan is None:
            raise DataError(
                "there is no image to register by, and the masks lie on different grids",
                case=one.name,
                remedy="give the images, or registration=never where the scanner's coordinates "
                "agree",
            )
    assert first.scan is not None
    assert point.scan is not None
    found = register(first.scan, point.scan)
    return found.matrix, found.quality


def _brought(point: TimePoint, first: TimePoint, matrix: np.ndarray) -> np.ndarray:
    """A point's labels on the first one's grid."""
    if _same_grid(first, point) and np.array_equal(matrix, np.eye(4)):
        return point.labels
    x, y, z = first.labels.shape
    leads = np.linalg.inv(point.affine) @ matrix @ first.affine
    return interpolate_labels(point.labels, leads, (x, y, z))


def _volumes(points: Sequence[TimePoint], regions: Sequence[str]) -> pd.DataFrame:
    rows = []
    for point in points:
        for region, mask in zip(regions, region_masks(point.labels, regions), strict=True):
            row: dict[str, Any] = {"point": point.name, "date": point.day, "region": region}
            row["ml"] = float(mask.sum()) * point.millilitres
            if region == "ET":
                turned, affine = to_ras(mask, point.affine)
                x, y, z = nib.affines.voxel_sizes(affine).tolist()
                row["bidimensional_mm2"] = bidimensional_product(turned, (x, y, z))
            rows.append(row)
    return pd.DataFrame(rows)
