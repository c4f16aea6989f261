"""Tumours grown, shrunk, mirrored and moved: new label maps from those of patients.

Regions are nested (ET within TC within WT), and stay so: each keeps its form, as a level set of its
signed distance, and gets the share of its volume that is asked for.

Shapes: `X Y Z` space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import edt
import numpy as np
from scipy import signal

from lightning_brats.labels import BACKGROUND, ET, NETC, RC, REGIONS, SNFH

COARSE = 3.0
"""mm; places are looked for on about such a grid."""
TOLERATED = 0.2
"""Mean cost of a place per voxel of the tumour; what lies on forbidden ground is cut off."""
LEAST_KEPT = 0.7
"""Share of the tumour that must be left then."""


@dataclass(frozen=True)
class Ground:
    """Where in a brain a tumour may lie.

    Args:
        allowed: (X, Y, Z) bool: brain, but not its ventricles.
        cost: (X, Y, Z) from 0 to 1, how little a voxel suits a tumour; 1 where none is allowed.
    """

    allowed: np.ndarray
    cost: np.ndarray


@dataclass(frozen=True)
class Placed:
    """A tumour in another brain.

    Args:
        labels: (X, Y, Z) of the whole brain.
        corner: First voxel of the tumour's box in it.
        kept: Share of the tumour's voxels that lie on allowed ground.
    """

    labels: np.ndarray
    corner: tuple[int, int, int]
    kept: float


def tight(labels: np.ndarray) -> np.ndarray:
    """The box around everything labelled (x, y, z); empty where nothing is."""
    found = np.nonzero(labels)
    if not found[0].size:
        return labels[:0, :0, :0]
    return labels[tuple(slice(axis.min(), axis.max() + 1) for axis in found)]


def mirrored(labels: np.ndarray) -> np.ndarray:
    """Left and right exchanged; the first axis runs between them, as in every prepared case."""
    return labels[::-1]


def rescaled(
    labels: np.ndarray, factor: float, spacing: Sequence[float], rng: np.random.Generator
) -> np.ndarray:
    """The tumour with `factor` times its volume, tissue by tissue.

    WT, TC, NETC within TC and the resection cavity each get `factor` times their voxels, rounded:
    those that lie deepest in, or nearest to, what they were. ET is what TC has besides NETC.

    Args:
        labels: (X, Y, Z) internal labels.
        factor: Above 1 the tumour grows, below it shrinks.
        spacing: Voxel size in mm.
        rng: Decides between voxels at equal distances.

    Returns:
        Its new box (x, y, z).
    """
    box = tight(labels)
    radius = np.cbrt(3 * (box > 0).sum() * np.prod(spacing) / (4 * np.pi))  # of a ball as large
    reach = max(np.cbrt(factor) - 1, 0) * radius
    box = np.pad(box, [(int(np.ceil(reach / size)) + 2,) * 2 for size in spacing])
    everywhere = np.ones(box.shape, bool)
    cavity = _sized(box == RC, factor, spacing, everywhere, rng)
    core = _sized(np.isin(box, REGIONS["TC"]), factor, spacing, ~cavity, rng)
    whole = _sized(np.isin(box, REGIONS["WT"]), factor, spacing, ~cavity, rng, core)
    silent = _sized(box == NETC, factor, spacing, core, rng)
    out = np.full(box.shape, BACKGROUND, np.uint8)
    for label, where in ((SNFH, whole), (ET, core), (NETC, silent), (RC, cavity)):
        out[where] = label
    return tight(out)


def place(
    tumour: np.ndarray, ground: Ground, spacing: Sequence[float], rng: np.random.Generator
) -> Placed | None:
    """Put a tumour into a brain where it costs little, drawn evenly from all such places.

    Args:
        tumour: Its box (x, y, z).
        ground: Of the brain.
        spacing: Voxel size in mm.
        rng: Draws the place.

    Returns:
        `None` where the brain has no such place.
    """
    step = [max(1, round(COARSE / size)) for size in spacing]
    weight = _averaged((tumour > 0).astype(np.float32), step, 0)
    cost = _averaged(ground.cost.astype(np.float32), step, 1)
    if any(a > b for a, b in zip(weight.shape, cost.shape, strict=True)) or not weight.sum():
        return None
    mean = signal.fftconvolve(cost, weight[::-1, ::-1, ::-1], mode="valid") / weight.sum()
    places = np.argwhere(mean <= TOLERATED)
    if not len(places):
        return None
    x, y, z = (places[rng.integers(len(places))] * step).tolist()
    labels = np.zeros(ground.allowed.shape, np.uint8)
    there = tuple(slice(c, c + n) for c, n in zip((x, y, z), tumour.shape, strict=True))
    room = labels[there].shape  # the coarse grid may reach a voxel beyond the fine one
    labels[there] = tumour[tuple(slice(0, n) for n in room)]
    labels[~ground.allowed] = BACKGROUND
    kept = float((labels > 0).sum() / (tumour > 0).sum())
    return Placed(labels, (x, y, z), kept) if kept >= LEAST_KEPT else None


def _sized(
    mask: np.ndarray,
    factor: float,
    spacing: Sequence[float],
    allowed: np.ndarray,
    rng: np.random.Generator,
    certain: np.ndarray | None = None,
) -> np.ndarray:
    """The allowed voxels that lie deepest in a mask, as many as `factor` asks for, at least one."""
    if not mask.any():
        return np.zeros_like(mask) if certain is None else certain
    depth = edt.edt(mask, anisotropy=tuple(spacing)) - edt.edt(~mask, anisotropy=tuple(spacing))
    depth = depth + 1e-3 * rng.random(mask.shape)
    depth[~allowed] = -np.inf
    count = max(1, round(factor * int(mask.sum())))
    if certain is not None:
        depth[certain] = np.inf
        count = max(count, int(certain.sum()))
    count = min(count, int(allowed.sum()))
    out = np.zeros(mask.size, bool)
    out[np.argpartition(-depth.ravel(), count - 1)[:count] if count else []] = True
    return out.reshape(mask.shape)


def _averaged(values: np.ndarray, step: Sequence[int], fill: float) -> np.ndarray:
    """Means of blocks of voxels, what lies beyond the volume counting as `fill`."""
    rest = [(0, -n % s) for n, s in zip(values.shape, step, strict=True)]
    padded = np.pad(values, rest, constant_values=fill)
    sizes = [part for n, s in zip(padded.shape, step, strict=True) for part in (n // s, s)]
    return padded.reshape(sizes).mean((1, 3, 5))
