"""A segmentation next to a reference: scores by the challenges' rules, and where it errs.

Shapes: `X Y Z` voxels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import nibabel as nib
import numpy as np
import pandas as pd

from lightning_brats.app.segmenting import Result
from lightning_brats.evaluation.errors import CaseErrors, ErrorTables, case_errors
from lightning_brats.labels import RC, LabelScheme
from lightning_brats.metrics import METRICS, PROTOCOLS, score_case
from lightning_brats.report.wording import digits, heading, number

PLAIN = "legacy"
SHOWN = (
    "lesion_dice",
    "lesion_hd95",
    "lesion_nsd_1.0",
    "dice",
    "hd95",
    "nsd_1.0",
    "sensitivity",
    "precision",
    "volume_error",
    "lesion_tp",
    "lesion_fp",
    "lesion_fn",
)
"""Metrics that are shown first, where a protocol has them."""
COUNTS = ("_tp", "_fp", "_fn")
BOUNDARY = {
    "missed": "missed",
    "false": "false",
    "assd": "mean distance of the surfaces",
    "distance_p5": "too small by (5 %)",
    "distance_p95": "too large by (95 %)",
}


@dataclass(frozen=True)
class Comparison:
    """What a reference says of a segmentation.

    Args:
        protocol: The rules.
        scores: Region → metric → value.
        errors: Where it errs.
        lesions: The protocol's lesions, one row each; empty where it knows none.
    """

    protocol: str
    scores: Mapping[str, Mapping[str, float]]
    errors: CaseErrors
    lesions: int

    def table(self) -> pd.DataFrame:
        """Metrics as rows, regions as columns, numbers as text."""
        present = {metric for values in self.scores.values() for metric in values}
        order = [m for m in SHOWN if m in present]
        order += [m for m in METRICS if m in present and m not in order]
        rows = {
            heading(metric): {
                region: number(values.get(metric), 0 if metric.endswith(COUNTS) else digits(metric))
                for region, values in self.scores.items()
            }
            for metric in order
        }
        return pd.DataFrame.from_dict(rows, orient="index")

    def boundary(self) -> pd.DataFrame:
        """Missed and false shares (%) and surface distances (mm), regions as columns."""
        rows: dict[str, dict[str, str]] = {}
        for measure, name in BOUNDARY.items():
            share = measure in ("missed", "false")
            rows[f"{name} ({'%' if share else 'mm'})"] = {
                region: number(self.errors.measures[region][measure] * (100 if share else 1), 1)
                for region in self.scores
                if region in self.errors.measures
            }
        return pd.DataFrame.from_dict(rows, orient="index")

    def profiles(self, result: Result) -> dict[str, np.ndarray]:
        """Region → share of its surface by signed distance."""
        tables = ErrorTables.of([result.case], {result.case.case: self.errors})
        return {r: p for r in self.scores if (p := tables.profile(r)) is not None}


def protocol_of(scheme: LabelScheme) -> str:
    """The challenge whose rules fit a coding."""
    return "brats2024-gli" if RC in scheme.codes.values() else "brats2023-gli"


def compare(result: Result, protocol: str, regions: Sequence[str] | None = None) -> Comparison:
    """Score a result that has a reference.

    Args:
        result: What was segmented.
        protocol: A name in `lightning_brats.metrics.PROTOCOLS`.
        regions: To score; by default those of the protocol that the networks know.

    Raises:
        DataError: The reference lies on another grid, or holds other labels.
    """
    labels, affine = result.labels()
    reference = result.reference()
    assert reference is not None
    known = [region for region in PROTOCOLS[protocol].regions if region in result.regions]
    x, y, z = nib.affines.voxel_sizes(affine).tolist()
    scores, lesions = score_case(
        reference, labels, (x, y, z), protocol, lesions=True, regions=regions or known
    )
    errors = case_errors(reference, labels, (x, y, z), list(scores))
    return Comparison(protocol, scores, errors, len(lesions))
