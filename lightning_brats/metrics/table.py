"""What every metric means: its direction, its unit, and its value where a mask is empty."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

NAN, INF = math.nan, math.inf


@dataclass(frozen=True)
class Metric:
    """A metric's declaration.

    Args:
        description: One line for tables and legends.
        higher_is_better: `None` where neither direction is better (volumes, signed errors).
        unit: `""` for a share, a count or a ratio.
        both_empty: Value where neither reference nor prediction has a voxel of the region.
        reference_empty: Value where only the prediction has one.
        prediction_empty: Value where only the reference has one.

    An empty-mask value of NaN means that none is declared: the general formula, or the protocol's
    counting of lesions, gives it.
    """

    description: str
    higher_is_better: bool | None
    unit: str = ""
    both_empty: float = NAN
    reference_empty: float = NAN
    prediction_empty: float = NAN

    @property
    def one_empty(self) -> float:
        """Worst of the two one-sided values; NaN where they are not declared."""
        pair = (self.reference_empty, self.prediction_empty)
        return min(pair) if self.higher_is_better else max(pair)

    def where_empty(self, reference: bool, prediction: bool) -> float:
        """Value for masks that do (`True`) or do not hold voxels; not for two non-empty ones."""
        if reference:
            return self.prediction_empty
        return self.reference_empty if prediction else self.both_empty


def _share(description: str) -> Metric:
    return Metric(description, True, both_empty=1, reference_empty=0, prediction_empty=0)


def _count(description: str, higher_is_better: bool) -> Metric:
    return Metric(description, higher_is_better, both_empty=0)


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        "dice": _share("2·TP / (2·TP + FP + FN) over voxels"),
        "hd95": Metric(
            "95th percentile of surface distance, weighted by area, larger of both directions",
            False,
            "mm",
            both_empty=0,
            reference_empty=INF,
            prediction_empty=INF,
        ),
        "nsd_0.5": _share("share of both surfaces within 0.5 mm of the other"),
        "nsd_1.0": _share("share of both surfaces within 1 mm of the other"),
        "iou": _share("TP / (TP + FP + FN) over voxels"),
        "sensitivity": _share("share of the reference's voxels that were found"),
        "specificity": Metric("share of the voxels outside the reference left out", True),
        "precision": _share("share of the predicted voxels that are right"),
        "accuracy": Metric("share of all voxels of the volume that are right", True),
        "volume_error": Metric(
            "signed difference of volumes in % of the reference's",
            None,
            "%",
            both_empty=0,
            reference_empty=INF,
            prediction_empty=-100,
        ),
        "volume_error_abs": Metric(
            "difference of volumes in % of the reference's",
            False,
            "%",
            both_empty=0,
            reference_empty=INF,
            prediction_empty=100,
        ),
        "volume_reference": Metric("volume of the reference", None, "mm³", 0),
        "volume_prediction": Metric("volume of the prediction", None, "mm³", 0),
        "lesion_dice": _share("mean Dice of reference lesions, false positives counting as 0"),
        "lesion_hd95": Metric(
            "mean HD95 of reference lesions, missed and false ones counting as the penalty",
            False,
            "mm",
            both_empty=0,
        ),
        "lesion_nsd_0.5": _share("mean surface dice at 0.5 mm of reference lesions"),
        "lesion_nsd_1.0": _share("mean surface dice at 1 mm of reference lesions"),
        "lesion_tp": _count("reference lesions above the size threshold that were found", True),
        "lesion_fp": _count("predicted lesions that meet no reference lesion", False),
        "lesion_fn": _count("reference lesions above the size threshold that were missed", False),
        "instance_tp": _count("components matched one to one", True),
        "instance_fp": _count("predicted components without a partner", False),
        "instance_fn": _count("reference components without a partner", False),
        "instance_f1": Metric(
            "2·TP / (2·TP + FP + FN) over components",
            True,
            both_empty=NAN,
            reference_empty=0,
            prediction_empty=0,
        ),
    }
)
"""Every metric `score_case` may report, in the order of tables. Lesion scores with one mask empty
follow the protocol: a missed lesion scores Dice 0 and the distance penalty, unless it is at or
below the size threshold."""


def where_empty(name: str, reference: bool, prediction: bool) -> float:
    """Declared value of a metric for masks of which at least one is empty."""
    return METRICS[name].where_empty(reference, prediction)
