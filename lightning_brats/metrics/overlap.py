"""Voxel-count metrics of one region: Dice, IoU, rates and volumes."""

from __future__ import annotations

from lightning_brats.metrics.table import where_empty


def overlap(
    reference: int, prediction: int, hit: int, voxels: int, spacing: tuple[float, float, float]
) -> dict[str, float]:
    """Metrics of two masks from their voxel counts.

    Args:
        reference: Voxels of the reference.
        prediction: Voxels of the prediction.
        hit: Voxels of both.
        voxels: Voxels of the volume.
        spacing: Voxel edge lengths in mm.

    Returns:
        dice, iou, sensitivity, specificity, precision, accuracy, volume_error (signed, %),
        volume_error_abs (%), volume_reference and volume_prediction (mm³).
    """
    false, missed, negatives = prediction - hit, reference - hit, voxels - reference
    scores = {
        "specificity": (negatives - false) / negatives if negatives else 1.0,
        "accuracy": (voxels - false - missed) / voxels,
        "volume_reference": volume(reference, spacing),
        "volume_prediction": volume(prediction, spacing),
    }
    if not reference or not prediction:
        names = ("dice", "iou", "sensitivity", "precision", "volume_error", "volume_error_abs")
        found = reference > 0, prediction > 0
        return scores | {name: float(where_empty(name, *found)) for name in names}
    change = 100 * (prediction - reference) / reference
    return scores | {
        "dice": 2 * hit / (reference + prediction),
        "iou": hit / (reference + prediction - hit),
        "sensitivity": hit / reference,
        "precision": hit / prediction,
        "volume_error": change,
        "volume_error_abs": abs(change),
    }


def volume(voxels: int, spacing: tuple[float, float, float]) -> float:
    """Volume in mm³ of a number of voxels.

    Multiplied axis by axis, as the challenges do: a lesion exactly at a size threshold must fall on
    the same side.
    """
    return float(voxels * spacing[0] * spacing[1] * spacing[2])
