"""From two masks, of what is bright on FLAIR and on contrast-enhanced T1, to labels.

Shapes: `x y z` a prepared, cropped volume.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

import cc3d
import edt
import numpy as np

from lightning_brats.baselines.scan import Scan
from lightning_brats.labels import REGIONS, labels_from_regions
from lightning_brats.postprocess import FillHoles, Opening, bounding_box
from lightning_brats.postprocess.steps import Spacing

NEEDS = ("t2f", "t1c")
"""FLAIR shows the whole tumour, contrast-enhanced T1 what enhances."""
BRIDGES = 2.0
"""Radius in mm of the ball that cuts the tumour off from bright cortex; a voxel at least."""
GAPS = 10.0
"""Radius in mm of the ball that closes oedema around a core that is dark on FLAIR."""
RING = 8.0
"""Radius in mm of the ball that closes an enhancing ring, to take in what it surrounds."""
RINGS = (4.0, 8.0, 12.0, 16.0, 20.0)
"""Radii of it that are tried on training masks: rings enhance in parts, with gaps between them."""
LOOKED_AT = 20
"""Training cases that the radius is chosen on, at most: it is the same for most."""
LEAST_PART = 0.2
"""Components with less than this share of the foremost one's evidence are no part of the tumour."""

Choice = TypeVar("Choice", bound=Hashable)


def main_parts(mask: np.ndarray, uneven: np.ndarray, spacing: Spacing) -> np.ndarray:
    """The components of a mask that speak most for tumour, thin bridges cut and holes filled.

    Args:
        mask: (x, y, z) bool.
        uneven: (x, y, z), by how much FLAIR exceeds the other side: a component's sum of it is its
            evidence, so that what is bright on both sides goes, however large.
        spacing: Voxel size in mm.
    """
    opened = Opening(max(BRIDGES, *spacing))({"WT": mask}, spacing)["WT"]
    opened = opened if opened.any() else mask
    found, count = cc3d.connected_components(opened, connectivity=6, return_N=True)
    if not count:
        return mask
    evidence = np.bincount(found.ravel(), weights=uneven.ravel())
    evidence[0] = 0
    foremost = evidence[1:].max()
    # Where nothing speaks for tumour (both sides alike), the least unlikely part is kept.
    kept = evidence >= (LEAST_PART * foremost if foremost > 0 else foremost)
    kept[0] = False
    return FillHoles()({"WT": kept[found]}, spacing)["WT"]


def closed(mask: np.ndarray, radius: float, spacing: Spacing) -> np.ndarray:
    """A mask with the gaps closed that a ball does not fit into, and holes filled.

    By distances, since the ball may be large. What lies beyond the volume counts as background.

    Args:
        mask: (x, y, z) bool.
        radius: Of the ball in mm.
        spacing: Voxel size in mm.
    """
    box = bounding_box(mask)
    if box is None:
        return mask
    room = [int(radius / size) + 2 for size in spacing]
    padded = np.pad(mask[box], [(n, n) for n in room])
    near = edt.edt(~padded, anisotropy=tuple(spacing)) <= radius
    inner = edt.edt(near, anisotropy=tuple(spacing)) > radius
    shut = (inner | padded)[tuple(slice(n, -n) for n in room)]
    out = np.zeros_like(mask)
    out[box] = shut
    return FillHoles()({"WT": out}, spacing)["WT"]


def compose(
    whole: np.ndarray, enhancing: np.ndarray, spacing: Spacing, ring: float = RING
) -> np.ndarray:
    """Labels: what enhances, what that surrounds (core), and the rest of the tumour (oedema).

    A core that nothing enhancing surrounds cannot be told from oedema this way, nor a resection
    cavity from anything.

    Args:
        whole: (x, y, z) bool, the tumour as FLAIR shows it.
        enhancing: (x, y, z) bool.
        spacing: Voxel size in mm.
        ring: Radius in mm of the ball that closes an enhancing ring.

    Returns:
        (x, y, z) uint8 internal labels.
    """
    core = closed(enhancing, ring, spacing)
    regions = ("WT", "TC", "ET")
    return labels_from_regions(
        np.stack([closed(whole | core, RING, spacing), core, enhancing]), regions
    )


def dice(reference: np.ndarray, mask: np.ndarray) -> float:
    """Dice of two masks, 1 where both are empty."""
    both = int(reference.sum()) + int(mask.sum())
    return 2 * int((reference & mask).sum()) / both if both else 1.0


def region(labels: np.ndarray, name: str) -> np.ndarray:
    """(x, y, z) bool mask of a region in internal labels."""
    return np.isin(labels, REGIONS[name])


def ring_radius(scans: Sequence[Scan], chosen: Sequence[int]) -> float:
    """The radius with which what enhances makes the best core, on training masks alone.

    Args:
        scans: With labels.
        chosen: Indices of those to look at, the first `LOOKED_AT` of them; where nothing enhances
            in any, `RING` is returned.
    """
    found: list[dict[float, float]] = []
    for scan in (scans[index] for index in chosen[:LOOKED_AT]):
        assert scan.labels is not None
        enhancing, core = region(scan.labels, "ET"), region(scan.labels, "TC")
        if enhancing.any():
            found.append({mm: dice(core, closed(enhancing, mm, scan.spacing)) for mm in RINGS})
    return best(RINGS, (scores.__getitem__ for scores in found))[0] if found else RING


def best(
    choices: Sequence[Choice], tried: Iterable[Callable[[Choice], float]]
) -> tuple[Choice, float]:
    """The choice with the highest mean score, the earlier one of equals, and that mean.

    Args:
        choices: Candidates.
        tried: One a case: candidate → score. They are asked one after the other, so that one case
            at a time is in memory.
    """
    scores = np.array([[score(choice) for choice in choices] for score in tried])
    means = scores.mean(0)
    place = int(np.argmax(means))
    return choices[place], float(means[place])
