"""BraTS 2024 post-treatment glioma: lesions by dilation on both sides, tissues joined by contact.

The rules keep what the official program does, a tissue name that it misspells (SNFH is dilated 3
times, 5 were meant) included. Sensitivity, specificity and whole-volume HD95, which it computes
from lesion numbers, are computed from masks here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lightning_brats.metrics.joining import join_tissues
from lightning_brats.metrics.lesionwise import LesionRules, Scores, score_lesions
from lightning_brats.metrics.objects import dilated
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
    lesions, grown, predicted = {}, {}, {}
    for region, rules in RULES.items():
        reference, prediction = case.masks(region)
        shape = case.crops, case.shape
        lesions[region], grown[region] = dilated(reference, rules.dilations, *shape)
        found, _ = dilated(prediction, rules.dilations, *shape)
        predicted[region] = found.without_small(rules.threshold)
    for tissue, numbers in join_tissues(lesions).items():
        lesions[tissue] = lesions[tissue].renumber(numbers)
        grown[tissue] = grown[tissue].renumber(numbers)
    for tissue, numbers in join_tissues(predicted).items():
        predicted[tissue] = predicted[tissue].renumber(numbers)
    scores, rows = {}, []
    for region in regions:
        pair = RegionPair(lesions[region], predicted[region], case, grown[region], borders=True)
        lesion_scores, lesion_rows = score_lesions(region, pair, RULES[region])
        scores[region] = pair.whole() | lesion_scores
        rows += lesion_rows
    return scores, rows
