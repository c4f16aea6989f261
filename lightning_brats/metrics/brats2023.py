"""BraTS 2023 lesion-wise scores (GLI, SSA, PED, MEN, MET).

Reference lesions come from dilation, predicted ones are plain 26-connected components.
"""

from __future__ import annotations

from collections.abc import Sequence

from lightning_brats.metrics.lesionwise import LesionRules, Scores, score_lesions
from lightning_brats.metrics.objects import connected, dilated
from lightning_brats.metrics.region import RegionPair
from lightning_brats.metrics.volumes import LabelPair

REPORTED = ("lesion_dice", "lesion_hd95", "lesion_tp", "lesion_fp", "lesion_fn")


def score(case: LabelPair, regions: Sequence[str], rules: LesionRules) -> Scores:
    """Whole-volume and lesion-wise metrics of every region, and its lesions."""
    scores, rows = {}, []
    for region in regions:
        reference, prediction = case.masks(region)
        lesions, grown = dilated(reference, rules.dilations, case.crops, case.shape)
        predicted = connected(prediction, case.crops, case.shape)
        pair = RegionPair(lesions, predicted, case, grown)
        lesion_scores, lesion_rows = score_lesions(region, pair, rules)
        scores[region] = pair.whole() | {name: lesion_scores[name] for name in REPORTED}
        rows += lesion_rows
    return scores, rows
