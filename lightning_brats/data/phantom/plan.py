"""What grows in a patient: kind, place and size of a tumour, in millimetres.

Kinds come in a fixed order, so that every dozen patients has the same share of each. Shapes:
`X Y Z` voxels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from lightning_brats.data.phantom.anatomy import Anatomy, Lens
from lightning_brats.data.phantom.fields import Grid, squared_distance


@dataclass(frozen=True)
class Kind:
    """Ranges that one kind of tumour is drawn from, lengths in mm.

    Args:
        radius: Of the core.
        rim: Thickness of the enhancing rim; 0 where nothing enhances.
        oedema: How far oedema reaches into white matter.
        satellites: Most smaller lesions beside the main one; at least one if any.
        grade: `HGG` or `LGG`.
    """

    radius: tuple[float, float]
    rim: tuple[float, float]
    oedema: tuple[float, float]
    satellites: int = 0
    grade: str = "HGG"


_RING = Kind((16, 27), (2.5, 5.5), (6, 20))
_SOLID = Kind((15, 23), (7, 12), (6, 20))
_SMALL = Kind((9, 11), (2.5, 4), (8, 16))
_MANY = Kind((13, 20), (2.5, 5), (6, 16), satellites=3)
_LOW = Kind((17, 26), (0, 0), (3, 9), grade="LGG")
_DECK = (_RING, _RING, _SOLID, _LOW, _RING, _MANY, _RING, _SOLID, _SMALL, _RING, _MANY, _RING)


def kind_of(patient: int) -> Kind:
    """The kind of tumour that patient number `patient` has."""
    return _DECK[patient % len(_DECK)]


@dataclass(frozen=True)
class Lesion:
    """One focus: where it is, its size and reach in mm."""

    centre: tuple[float, float, float]
    radius: float
    rim: float
    oedema: float


@dataclass(frozen=True)
class Plan:
    """What grows in a patient: lesions, and after surgery a cavity (its rim is not used)."""

    lesions: tuple[Lesion, ...]
    cavity: Lesion | None
    mass: tuple[Lens, ...]


def plan_tumour(
    kind: Kind, grid: Grid, anatomy: Anatomy, seed: Sequence[int], visit: int, postop: bool
) -> Plan:
    """Choose place and size.

    Args:
        kind: Of tumour.
        grid: Coarse voxels.
        anatomy: Of the patient on `grid`, before mass effect.
        seed: Of the patient.
        visit: Counts examinations; the tumour grows from one to the next.
        postop: Whether the core was taken out and grew back at the wall of the cavity.
    """
    rng = np.random.default_rng(seed)
    growth = rng.uniform(1.05, 1.2) ** visit
    radius, rim, oedema = (rng.uniform(*bounds) for bounds in (kind.radius, kind.rim, kind.oedema))
    depth = ndimage.distance_transform_edt(anatomy.brain, grid.spacing)
    hemispheric = (anatomy.white > 0.6) & (np.abs(grid.axes[0]) > 12) & (grid.axes[2] > -30)
    centre = _pick(grid, hemispheric & (depth > 0.6 * radius + 4) & (depth < radius + 16), rng)
    main = Lesion(centre, growth * radius, rim, oedema)
    lesions, cavity = [main], None
    mass = rng.uniform(0.1, 0.4)
    if postop:
        cavity = Lesion(centre, rng.uniform(0.5, 0.85) * radius, 0.0, rng.uniform(2, 7))
        regrown = rng.uniform(0.45, 0.75) * radius
        away = np.sqrt(squared_distance(grid, centre)) - cavity.radius
        wall = (away > 0) & (away < 0.6 * regrown) & (anatomy.white > 0.5)
        lesions = [Lesion(_pick(grid, wall, rng), growth * regrown, rim, oedema)]
        mass = 0.0
    apart = squared_distance(grid, centre) > (1.6 * radius + 6) ** 2
    for _ in range(rng.integers(1, kind.satellites + 1) if kind.satellites else 0):
        place = _pick(grid, hemispheric & apart & (depth > 7), rng)
        lesions.append(Lesion(place, rng.uniform(6.0, 10.0), 0.7 * rim, rng.uniform(3, 10)))
    return Plan(tuple(lesions), cavity, (Lens(centre, mass, 1.5 * main.radius),))


def _pick(grid: Grid, allowed: np.ndarray, rng: np.random.Generator) -> tuple[float, float, float]:
    voxels = np.argwhere(allowed)
    place = voxels[rng.integers(len(voxels))]
    x, y, z = (float(axis.ravel()[i]) for axis, i in zip(grid.axes, place, strict=True))
    return x, y, z
