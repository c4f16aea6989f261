"""From a fitted method to cleaned masks on disk, on the grid and in the coding of the input.

Shapes: `K` labels, `x y z` a prepared, cropped volume.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from lightning_brats import console
from lightning_brats.baselines.scan import Baseline, Scans
from lightning_brats.data.datamodule import BratsDataModule
from lightning_brats.data.geometry import Geometry
from lightning_brats.labels import BACKGROUND, TISSUES
from lightning_brats.postprocess import Postprocess
from lightning_brats.prediction.writing import save_labels


def segment_part(
    method: Baseline,
    data: BratsDataModule,
    part: str,
    folder: Path,
    postprocess: Postprocess,
    scans: Scans | None = None,
) -> float:
    """Write `<folder>/<case>.nii.gz` of every case of a part of the split.

    Args:
        method: Fitted. It never sees the references of these cases.
        data: The cases.
        part: `validation` or `test`.
        folder: Made where it is missing.
        postprocess: Cleans the labels.
        scans: What the method sees of the cases, where that is more than the images.

    Returns:
        Seconds a case, of reading, segmenting, cleaning and writing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cases, entries = data.cases(part), data.entries(part)
    scans = scans or Scans(entries, data.source.modalities, labelled=False)
    regions = data.source.scheme.regions
    began = time.perf_counter()
    with console.counting("segmenting", f"{part} cases") as progress:
        progress(0, len(cases))
        for index, case in enumerate(cases):
            labels = method.segment(scans[index])
            geometry = entries[index].prepared().geometry
            cleaned, place = clean(labels, geometry, postprocess, regions)
            save_labels(folder, case, place, cleaned)
            progress(index + 1, len(cases))
    return (time.perf_counter() - began) / max(len(cases), 1)


def clean(
    labels: np.ndarray, geometry: Geometry, postprocess: Postprocess, regions: tuple[str, ...]
) -> tuple[np.ndarray, Geometry]:
    """Post-process labels as a network's are: as if each had a probability of 0 or 1.

    Args:
        labels: (x, y, z) uint8 internal labels.
        geometry: Where they lie.
        postprocess: Steps on region masks.
        regions: To keep and clean.

    Returns:
        Labels, on the file's voxels where the case was resampled, and where these lie.
    """
    certain = np.stack([labels == label for label in range(len(TISSUES))]).astype(np.float32)
    # Labels are made where they are written: masks that are interpolated lose what is thin.
    certain, place = geometry.to_native(certain, BACKGROUND)
    return postprocess(certain, place.spacing, regions, "labels"), place
