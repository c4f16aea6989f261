"""How like the real ones generated images are, and what they look like.

Every test case's tumour is taken out and generated again from its mask. Errors are in units of the
prepared image (standard deviations of the brain, with z-scores); PSNR and SSIM (Wang et al. 2004)
relate to the range of the brain's intensities.

Shapes: `C` modalities, `x y z` a prepared volume.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from skimage.metrics import structural_similarity

from lightning_brats.data.case import Case
from lightning_brats.data.preprocess import Prepared
from lightning_brats.synthesis.condition import view
from lightning_brats.synthesis.task import SynthesisTask

METRICS = ("mae", "psnr", "ssim")
SMALLEST = 7
"""Voxels of SSIM's window."""


def rebuilt(task: SynthesisTask, prepared: Prepared, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A case with its tumour generated again (C, x, y, z), and where that was done (x, y, z)."""
    device = task.device
    image = torch.from_numpy(np.asarray(prepared.image, np.float32))[None].to(device)
    labels = torch.from_numpy(np.array(prepared.mask))[None, None].to(device)
    seen = view(image, labels, task.centres, task.net.margin, None)
    return task.fill(seen, seed)[0].cpu().numpy(), seen.hole[0, 0].cpu().numpy()


def compare(
    case: Case, real: np.ndarray, made: np.ndarray, regions: dict[str, np.ndarray]
) -> list[dict[str, Any]]:
    """Tidy rows: case, patient, region, modality, metric, value.

    Args:
        case: Whose images; names the modalities.
        real: (C, x, y, z), 0 outside the brain.
        made: Likewise.
        regions: Name → (x, y, z) bool; empty ones give no rows.
    """
    rows = []
    brain = (real != 0).any(0)
    for modality, one, other in zip(case.images, real, made, strict=True):
        span = float(one[brain].max() - one[brain].min())
        alike = _similarity(one, other, span)
        error = other - one
        for region, where in regions.items():
            if not where.any():
                continue
            square = float(np.square(error[where], dtype=np.float64).mean())
            values = {
                "mae": float(np.abs(error[where]).mean()),
                "psnr": float(10 * np.log10(span**2 / square)) if square else np.inf,
                "ssim": float(alike[where].mean()),
            }
            rows += [
                {
                    "case": case.case,
                    "patient": case.patient,
                    "region": region,
                    "modality": modality,
                    "metric": metric,
                    "value": values[metric],
                }
                for metric in METRICS
            ]
    return rows


def _similarity(one: np.ndarray, other: np.ndarray, span: float) -> np.ndarray:
    """SSIM of the window around each voxel (x, y, z), each 7 voxels wide."""
    lacking: Sequence[tuple[int, int]] = [(0, max(SMALLEST - n, 0)) for n in one.shape]
    one, other = np.pad(one, lacking), np.pad(other, lacking)
    _, alike = structural_similarity(one, other, data_range=span, win_size=SMALLEST, full=True)
    return alike
