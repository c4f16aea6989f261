"""Lesion-wise scores: lesions by dilation, matching, mean over lesions and false positives.

Rules of the BraTS challenges since 2023: a lesion scores against everything predicted that meets
it, a missed or invented lesion scores Dice 0 and a distance penalty.
Shapes: `n` lesions, `m` predicted components, `X Y Z` voxels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lightning_brats.metrics.region import RegionPair


@dataclass(frozen=True)
class LesionRules:
    """How a challenge defines and scores the lesions of a region.

    Args:
        dilations: Reference voxels closer than about twice this belong to one lesion; a predicted
            component meets a lesion within this distance.
        threshold: Lesions of this volume (mm³) or less are left out.
        penalty: Distance in mm of a lesion that was missed or invented.
    """

    dilations: int = 3
    threshold: float = 50
    penalty: float = 374


@dataclass(frozen=True)
class Lesion:
    """One row of a lesion table.

    Args:
        region: Region it was found in.
        number: Its number in the reference, or in the prediction for a false positive.
        status: `tp` found, `fn` missed, `fp` invented, `ignored` at or below the size threshold.
        volume: mm³.
        partners: Number of predicted lesions matched to it.
        dice: Against the union of its partners.
        hd95: mm; without a partner the penalty, in 2026 infinite.
        nsd_05: Surface dice at 0.5 mm.
        nsd_10: Surface dice at 1 mm.
    """

    region: str
    number: int
    status: str
    volume: float
    partners: int
    dice: float
    hd95: float
    nsd_05: float
    nsd_10: float


Scores = tuple[dict[str, dict[str, float]], list[Lesion]]
"""Region → metric → value, and the lesions behind them."""


def score_lesions(
    region: str, pair: RegionPair, rules: LesionRules
) -> tuple[dict[str, float], list[Lesion]]:
    """Score the lesions of one region.

    Args:
        region: Its name, kept to the rows.
        pair: Numbered lesions of reference and prediction.
        rules: The challenge's.

    Returns:
        lesion_dice, lesion_hd95 (mm), lesion_nsd_0.5, lesion_nsd_1.0, lesion_tp, lesion_fp and
        lesion_fn; and one row a lesion: the reference's by number, then the false positives.
    """
    rows = _reference_rows(region, pair, rules) + _false_positives(region, pair, rules)
    scored = [row for row in rows if row.status != "ignored"]
    counts = {k: sum(row.status == k for row in scored) for k in ("tp", "fp", "fn")}
    scores = {
        "lesion_dice": _mean([row.dice for row in scored], empty=1),
        "lesion_hd95": _mean([row.hd95 for row in scored], empty=0),
        "lesion_nsd_0.5": _mean([row.nsd_05 for row in scored], empty=1),
        "lesion_nsd_1.0": _mean([row.nsd_10 for row in scored], empty=1),
    }
    return scores | {f"lesion_{k}": float(v) for k, v in counts.items()}, rows


def _reference_rows(region: str, pair: RegionPair, rules: LesionRules) -> list[Lesion]:
    # What overlaps a lesion also meets its dilation, so all overlap is with its partners.
    shared = np.bincount(pair.shared[:, 0], pair.shared[:, 2], pair.reference.count + 1)
    rows = []
    for number in range(1, pair.reference.count + 1):
        partners = pair.reached[pair.reached[:, 0] == number, 1]
        voxels = pair.reference_sizes[number]
        size = pair.volume(voxels)
        status = "ignored" if size <= rules.threshold else "tp" if len(partners) else "fn"
        dice, surface = 0.0, {"hd95": float(rules.penalty), "nsd_0.5": 0.0, "nsd_1.0": 0.0}
        if len(partners):
            dice = float(2 * shared[number] / (voxels + pair.prediction_sizes[partners].sum()))
            surface = pair.part(np.array([number]), partners)
        scores = dice, surface["hd95"], surface["nsd_0.5"], surface["nsd_1.0"]
        rows.append(Lesion(region, number, status, size, len(partners), *scores))
    return rows


def _false_positives(region: str, pair: RegionPair, rules: LesionRules) -> list[Lesion]:
    alone = np.setdiff1d(np.arange(1, pair.prediction.count + 1), pair.reached[:, 1])
    scores = 0.0, float(rules.penalty), 0.0, 0.0
    return [
        Lesion(region, n, "fp", pair.volume(pair.prediction_sizes[n]), 0, *scores)
        for n in alone.tolist()
    ]


def _mean(values: list[float], empty: float) -> float:
    return math.fsum(values) / len(values) if values else float(empty)
