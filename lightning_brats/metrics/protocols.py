"""Scoring protocols by name: which regions, which rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from lightning_brats.metrics import brats2023, brats2024, brats2026
from lightning_brats.metrics.lesionwise import LesionRules, Scores
from lightning_brats.metrics.objects import single
from lightning_brats.metrics.region import RegionPair
from lightning_brats.metrics.volumes import LabelPair


@dataclass(frozen=True)
class Protocol:
    """A way to score a case.

    Args:
        regions: Scored when the caller names none.
        score: Cropped case and regions → metrics by region, and lesion rows.
        penalty: Distance in mm that stands for an infinite HD95 in means.
    """

    regions: tuple[str, ...]
    score: Callable[[LabelPair, Sequence[str]], Scores]
    penalty: float = 374


def legacy(case: LabelPair, regions: Sequence[str]) -> Scores:
    """Whole-volume metrics alone."""
    scores = {}
    for region in regions:
        first, second = map(single, case.masks(region))
        scores[region] = RegionPair(first, second, case).whole()
    return scores, []


def _brats2023(**rules: float) -> Protocol:
    challenge = LesionRules(**rules)  # type: ignore[arg-type]
    return Protocol(("WT", "TC", "ET"), partial(brats2023.score, rules=challenge))


PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        "brats2023-gli": _brats2023(dilations=3, threshold=50),
        "brats2023-ssa": _brats2023(dilations=3, threshold=50),
        "brats2023-men": _brats2023(dilations=1, threshold=50),
        "brats2023-ped": _brats2023(dilations=3, threshold=50),
        "brats2023-met": _brats2023(dilations=1, threshold=2),
        "brats2024-gli": Protocol(tuple(brats2024.RULES), brats2024.score, brats2024.PENALTY),
        "brats2026-gli": Protocol(("SNFH", "ET", "NETC", "RC", "TC", "WT"), brats2026.score),
        "legacy": Protocol(("WT", "TC", "ET"), legacy),
    }
)
"""Protocol by name. `legacy` adds RC where a volume holds label 4."""
