"""A planned tumour grows into the anatomy: soft parts for the image, labels for the mask.

Core, rim and cavity are level sets of a distance that is bent by random fields, so none is a
sphere. Oedema is the ground that a front covers from the core: fast in white matter, slow in grey,
nearly stopped by fluid (the anisotropy that glioma growth models share, e.g. Swanson et al., Cell
Proliferation 2000). Shapes: `X Y Z` voxels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.graph import MCP_Geometric

from lightning_brats.data.phantom.anatomy import Anatomy
from lightning_brats.data.phantom.fields import Grid, sigmoid, smooth_field, squared_distance
from lightning_brats.data.phantom.plan import Lesion, Plan
from lightning_brats.labels import BACKGROUND, ET, NETC, RC, SNFH


@dataclass(frozen=True)
class Tumour:
    """Soft parts (X, Y, Z) float32 for the image, and the labels that follow from them, uint8."""

    oedema: np.ndarray
    core: np.ndarray
    enhancing: np.ndarray
    cavity: np.ndarray
    mask: np.ndarray


def oedema_field(plan: Plan, grid: Grid, anatomy: Anatomy, seed: Sequence[int]) -> np.ndarray:
    """Distance in mm (X, Y, Z) by which the oedema's front has passed each coarse voxel."""
    rng = np.random.default_rng(seed)
    speed = anatomy.white**2 + 0.25 * anatomy.grey + 0.03 * anatomy.csf
    uneven = 0.45 * smooth_field(grid, 24, rng) + 0.3 * smooth_field(grid, 9, rng)
    cost = np.where(anatomy.brain, np.exp(uneven) / np.maximum(speed, 0.03), -1.0)
    passed = np.full(grid.shape, -12.0)
    for lesion in (*plan.lesions, *([plan.cavity] if plan.cavity else [])):
        ball = squared_distance(grid, lesion.centre) < max(lesion.radius - 3, grid.spacing) ** 2
        starts = np.argwhere(ball & anatomy.brain)
        front = MCP_Geometric(cost, sampling=(grid.spacing,) * 3)
        arrival, _ = front.find_costs(starts)
        passed = np.maximum(passed, lesion.oedema + 3 - arrival)
    # The fine anatomy draws the borders with fluid and cortex; steps of coarse voxels are unwanted.
    return ndimage.gaussian_filter(passed.astype(np.float32), 0.6)


@dataclass(frozen=True)
class _Levels:
    """Signed distances in mm (X, Y, Z), positive inside; `silent` above 0 does not enhance."""

    swelling: np.ndarray
    core: np.ndarray
    dead: np.ndarray
    silent: np.ndarray
    hole: np.ndarray


def grow_tumour(
    plan: Plan, grid: Grid, anatomy: Anatomy, passed: np.ndarray, seed: Sequence[int]
) -> Tumour:
    """Let the planned lesions grow.

    Args:
        plan: What grows, and where.
        grid: Voxels wanted.
        anatomy: On `grid`, with mass effect.
        passed: `oedema_field` interpolated to `grid`.
        seed: Of the patient.
    """
    rng = np.random.default_rng(seed)
    levels = _grow(plan, grid, anatomy, passed, rng)
    cavity = sigmoid(levels.hole / 0.6) * anatomy.brain
    left = anatomy.brain * (1 - cavity)
    oedema = sigmoid(np.maximum(levels.swelling, levels.core) / 2) * left
    core = sigmoid(levels.core / 0.7) * left
    enhancing = core * sigmoid(-levels.dead / 0.6) * sigmoid(-levels.silent)
    mask = _delineate(levels, smooth_field(grid, 9, rng)) * anatomy.brain
    return Tumour(oedema, core, enhancing, cavity, mask)


def _grow(
    plan: Plan, grid: Grid, anatomy: Anatomy, passed: np.ndarray, rng: np.random.Generator
) -> _Levels:
    bend = [smooth_field(grid, 14, rng) for _ in range(3)]
    rough, uneven, pockets = (smooth_field(grid, w, rng) for w in (5, 11, 8))
    silent = 5 * (smooth_field(grid, 22, rng) - 1.3)
    if max(lesion.radius for lesion in plan.lesions) < 12:
        silent = np.full_like(silent, -10)  # a small rim that enhances in parts would vanish
    core = dead = hole = np.full_like(silent, -50)
    for lesion in plan.lesions:
        depth = _depth(grid, lesion, bend, rng) + 0.7 * rough - 5 * anatomy.csf
        rim = lesion.rim * np.exp(0.4 * uneven) - 1.2 * pockets if lesion.rim else -10
        core, dead = np.maximum(core, depth), np.maximum(dead, depth - rim)
    if plan.cavity is not None:
        hole = _depth(grid, plan.cavity, bend, rng) + 0.4 * rough
    swelling = passed - 9 * anatomy.grey - 22 * anatomy.csf + 1.2 * rough
    return _Levels(swelling, core, dead, silent, hole)


def _delineate(levels: _Levels, doubt: np.ndarray) -> np.ndarray:
    """Labels as a rater draws them: off by about a millimetre here and there."""
    core = levels.core + 0.5 * doubt > 0
    alive = (levels.dead + 0.5 * doubt < 0) & (levels.silent < 0)
    mask = np.where(levels.swelling + 1.2 * doubt > 0, SNFH, BACKGROUND).astype(np.uint8)
    mask[core] = NETC
    mask[core & alive] = ET
    mask[levels.hole > 0] = RC
    return mask


def _depth(
    grid: Grid, lesion: Lesion, bend: Sequence[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Depth in mm below the surface of a bent ellipsoid; negative outside."""
    stretch = np.exp(rng.normal(0, 0.16, 3))
    axes, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    form = (axes * stretch).T.astype(np.float32)
    x, y, z = (
        axis - c + 0.25 * lesion.radius * b
        for axis, c, b in zip(grid.axes, lesion.centre, bend, strict=True)
    )
    squared = sum((row[0] * x + row[1] * y + row[2] * z) ** 2 for row in form)
    return lesion.radius - np.sqrt(squared)
