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
from lightning_brats.labels import ET, NETC, RC, SNFH


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
    bend = [smooth_field(grid, 14, rng) for _ in range(3)]
    rough, uneven, pockets = (smooth_field(grid, w, rng) for w in (5, 11, 8))
    gaps = smooth_field(grid, 22, rng)
    core = np.full(grid.shape, -50, np.float32)
    dead = core.copy()
    for lesion in plan.lesions:
        depth = _depth(grid, lesion, bend, rng) + 0.7 * rough - 5 * anatomy.csf
        inner = depth - lesion.rim * np.exp(0.4 * uneven) + 1.2 * pockets
        core = np.maximum(core, depth)
        dead = np.maximum(dead, inner if lesion.rim else depth)
    hole = np.full_like(core, -50)
    if plan.cavity is not None:
        hole = _depth(grid, plan.cavity, bend, rng) + 0.4 * rough
    swelling = passed - 9 * anatomy.grey - 22 * anatomy.csf + 1.2 * rough
    # Parts of a large rim do not enhance; a small one would vanish.
    large = max(lesion.radius for lesion in plan.lesions) > 12
    rim = sigmoid(5 * (1.3 - gaps)) if large else np.ones_like(gaps)
    return _compose(anatomy, swelling, core, dead, rim, hole)


def _depth(
    grid: Grid, lesion: Lesion, bend: Sequence[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Depth in mm below the surface of a bent ellipsoid; negative outside."""
    stretch = np.exp(rng.normal(0, 0.16, 3))
    axes, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    form = (axes * stretch).T.astype(np.float32)
    points = [
        axis - c + 0.25 * lesion.radius * b
        for axis, c, b in zip(grid.axes, lesion.centre, bend, strict=True)
    ]
    squared = sum((row[0] * points[0] + row[1] * points[1] + row[2] * points[2]) ** 2 for row in form)
    return lesion.radius - np.sqrt(squared)


def _compose(
    anatomy: Anatomy,
    swelling: np.ndarray,
    core: np.ndarray,
    dead: np.ndarray,
    rim: np.ndarray,
    hole: np.ndarray,
) -> Tumour:
    """Level sets in mm → soft parts with borders of a plausible width, and labels."""
    empty = sigmoid(hole / 0.6) * anatomy.brain
    inside = sigmoid(core / 0.7) * (1 - empty) * anatomy.brain
    enhancing = inside * sigmoid(-dead / 0.6) * rim
    oedema = sigmoid(np.maximum(swelling, core) / 2) * (1 - empty) * anatomy.brain
    mask = np.zeros(core.shape, np.uint8)
    mask[oedema > 0.5] = SNFH
    mask[inside > 0.5] = NETC
    mask[(inside > 0.5) & (enhancing > 0.5 * inside)] = ET
    mask[empty > 0.5] = RC
    return Tumour(oedema, inside, enhancing, empty, mask)
