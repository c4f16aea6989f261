"""BraTS 2026 segmentation tasks: whole regions, and components matched one to one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from lightning_brats.metrics.lesionwise import Lesion, Scores
from lightning_brats.metrics.objects import connected
from lightning_brats.metrics.region import RegionPair
from lightning_brats.metrics.table import METRICS
from lightning_brats.metrics.volumes import LabelPair

SMALLEST_DICE = 1e-6
"""Pairs of components must score more than this to be matched."""

UNDEFINED = ("dice", "hd95", "nsd_0.5", "nsd_1.0", "iou", "sensitivity", "precision")
"""Whole-region metrics that have no value where reference and prediction are both empty."""


def score(case: LabelPair, regions: Sequence[str]) -> Scores:
    """Whole-region and instance metrics of every region, and its instances.

    Both empty: the `UNDEFINED` metrics and instance_f1 are NaN, to be left out of means.
    """
    scores, rows = {}, []
    for region in regions:
        first, second = (connected(m, case.crops, case.shape) for m in case.masks(region))
        pair = RegionPair(first, second, case)
        instances = match_instances(region, pair)
        found = {k: sum(row.status == k for row in instances) for k in ("tp", "fp", "fn")}
        whole = pair.whole()
        if not instances:
            whole |= dict.fromkeys(UNDEFINED, math.nan)
        scores[region] = whole | {f"instance_{k}": float(v) for k, v in found.items()}
        scores[region]["instance_f1"] = _f1(**found)
        rows += instances
    return scores, rows


def match_instances(region: str, pair: RegionPair) -> list[Lesion]:
    """Rows of all components: the reference's, matched (`tp`) or not, then the false ones."""
    partners = _partners(pair)
    alone = 0.0, math.inf, 0.0, 0.0
    rows = []
    for i in range(1, pair.reference.count + 1):
        size = pair.volume(pair.reference_sizes[i])
        if i not in partners:
            rows.append(Lesion(region, i, "fn", size, 0, *alone))
            continue
        j, dice = partners[i]
        surface = pair.part(np.array([i]), np.array([j]))
        scores = dice, surface["hd95"], surface["nsd_0.5"], surface["nsd_1.0"]
        rows.append(Lesion(region, i, "tp", size, 1, *scores))
    matched = {j for j, _ in partners.values()}
    for j in range(1, pair.prediction.count + 1):
        if j not in matched:
            size = pair.volume(pair.prediction_sizes[j])
            rows.append(Lesion(region, j, "fp", size, 0, *alone))
    return rows


def _partners(pair: RegionPair) -> dict[int, tuple[int, float]]:
    """Reference component → its predicted partner and their Dice, one to one."""
    i, j, shared = pair.shared.T
    dice = 2 * shared / (pair.reference_sizes[i] + pair.prediction_sizes[j])
    allowed = dice > SMALLEST_DICE
    i, j, dice = i[allowed], j[allowed], dice[allowed]
    (first, row), (second, column) = (np.unique(x, return_inverse=True) for x in (i, j))
    # A pair that is not allowed costs a little more than a useless one: of two matchings of equal
    # Dice, the one with more pairs is taken.
    costs = np.full((len(first), len(second)), 1 + 1e-6)
    costs[row, column] = 1 - dice
    scores = {(a, b): d for a, b, d in zip(i.tolist(), j.tolist(), dice.tolist(), strict=True)}
    rows, columns = linear_sum_assignment(costs)
    pairs = zip(first[rows].tolist(), second[columns].tolist(), strict=True)
    return {a: (b, scores[a, b]) for a, b in pairs if (a, b) in scores}


def _f1(tp: int, fp: int, fn: int) -> float:
    if tp + fp + fn == 0:
        return METRICS["instance_f1"].both_empty
    return 2 * tp / (2 * tp + fp + fn)
