"""BraTS 2024 post-treatment glioma: lesions by dilation on both sides, tissues joined by contact.

The rules keep what the official program does, a tissue name that it misspells (SNFH is dilated 3
times, 5 were meant) included. Sensitivity, specificity and whole-volume HD95, which it computes
from lesion numbers, are computed from masks here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lightning_brats.metrics.joining import join_tissues
from lightning_brats.metrics.lesionwise import LesionRules, Scores, score_lesions
from lightning_brats.metrics.objects import Objects
from lightning_brats.metrics.region import RegionPair
from lightning_brats.metrics.volumes import LabelPair

PENALTY = 337
RULES: Mapping[str, LesionRules] = {
    "WT": LesionRules(3, 20, PENALTY),
    "TC": LesionRules(3, 20, PENALTY),
    "NETC": LesionRules(5, 20, PENALTY),
    "SNFH": LesionRules(3, 20, PENALTY),
    "ET": LesionRules(3, 10, PENALTY),
    "RC": LesionRules(5, 20, PENALTY),
}


def score(case: LabelPair, regions: Sequence[str]) -> Scores:
    """Whole-volume and lesion-wise metrics of every region, and its lesions.

    Predicted lesions at or below the threshold, counted in voxels here, are gone before anything
    is measured, the whole-volume metrics included.
    """
    reference, prediction = {}, {}
    for region, rules in RULES.items():
        masks = case.masks(region)
        reference[region], found = (
            Objects.of(mask, rules.dilations, case.crops, case.shape) for mask in masks
        )
        prediction[region] = found.without_small(rules.threshold)
    reference, prediction = join_tissues(reference), join_tissues(prediction)
    scores, rows = {}, []
    for region in regions:
        pair = RegionPair(reference[region], prediction[region], case, borders=True)
        lesion_scores, lesion_rows = score_lesions(region, pair, RULES[region])
        scores[region] = pair.whole() | lesion_scores
        rows += lesion_rows
    return scores, rows
