"""What is worth knowing about a case, measured while its voxels are in memory anyway.

The numbers are kept with the prepared case. Audits, splits and searches for duplicates of a hundred
thousand cases then read small JSON files and open no volume.
"""

from __future__ import annotations

from typing import Any

import cc3d
import nibabel as nib
import numpy as np

from lightning_brats.data import likeness
from lightning_brats.data.case import Case, Volume
from lightning_brats.data.layouts.names import parse_case
from lightning_brats.data.preprocess import Prepared
from lightning_brats.labels import ET, NETC, RC, REGIONS, SNFH, TISSUES, LabelScheme

QUANTILES = (0.1, 1, 25, 50, 75, 99, 99.9)
"""Percentiles of the brain's intensities; the first and last are the histogram's limits."""
BINS = 48
SAMPLE = 100_000
"""Voxels that intensities are measured on: the median is good to 0.2 percentiles, the outermost
quantiles to 0.01."""


def case_statistics(case: Case, volume: Volume, prepared: Prepared) -> dict[str, Any]:
    """Measures of a case as plain JSON types, under 3 KB with four modalities.

    Args:
        case: Names the modalities and the label coding.
        volume: What was read; its brain is not empty.
        prepared: The same case prepared.

    Returns:
        `shape`, `spacing` (mm) and `orientation` of the file; `time_point` where the identifier
        tells it, else `None`; `coding` and `regions`; `brain_ml`; `fingerprint` (see
        `lightning_brats.data.likeness`); `intensities`: modality → `quantiles` (at `QUANTILES`, in
        the brain), `negative` (share of brain voxels below 0), `histogram` (`BINS` equal bins from
        the first to the last quantile, in thousandths). `tumour` is `None` without a mask, else:
        `tissue_ml`, `region_ml`, `outside_ml` (of tumour outside the brain), `lesions`
        (26-connected components of the whole tumour), `slice` (axial one of the prepared case with
        most of the tumour, or `None`) and `contrast` (modality → tissue → mean distance in the
        brain from its median in standard deviations).
    """
    source = volume.native or volume
    shape = volume.brain.shape if volume.native is None else volume.native.shape
    stored = volume.in_memory_order()
    box = _box(stored.brain)
    brain, image = stored.brain[box], stored.image[(slice(None), *box)]
    voxel_ml = abs(float(np.linalg.det(volume.affine[:3, :3]))) / 1000
    modalities = list(case.images)
    intensities = {
        modality: _intensities(values)
        for modality, values in zip(modalities, _sample(image, brain), strict=True)
    }
    return {
        "shape": [int(n) for n in shape],
        "spacing": [round(float(v), 4) for v in nib.affines.voxel_sizes(source.affine)],
        "orientation": "".join(nib.aff2axcodes(source.affine)),
        "time_point": _time_point(case.case),
        "coding": _coding(case.scheme),
        "regions": list(case.scheme.regions),
        "brain_ml": _round(np.count_nonzero(brain) * voxel_ml),
        "tumour": None
        if volume.mask is None
        else _tumour(stored, voxel_ml, modalities, intensities)
        | {"slice": _widest_slice(prepared.mask)},
        "intensities": intensities,
        "fingerprint": likeness.encode(image, brain, stored.affine, modalities),
    }


def _box(inside: np.ndarray) -> tuple[slice, slice, slice]:
    """Smallest box around the true voxels (X, Y, Z), of which there is at least one."""
    box = []
    for axis in range(3):
        places = np.flatnonzero(inside.any(tuple(a for a in range(3) if a != axis)))
        box.append(slice(int(places[0]), int(places[-1]) + 1))
    return box[0], box[1], box[2]


def _sample(image: np.ndarray, brain: np.ndarray) -> list[np.ndarray]:
    """Brain voxels of each modality on a grid of every n-th voxel, about `SAMPLE` of them."""
    step = max(1, int((np.count_nonzero(brain) / SAMPLE) ** (1 / 3)))
    every = (slice(None, None, step),) * 3
    inside = brain[every]
    if not inside.any():
        every, inside = (slice(None),) * 3, brain
    return [np.asarray(channel[every][inside], np.float32) for channel in image]


def _intensities(values: np.ndarray) -> dict[str, Any]:
    values.sort()
    quantiles = np.percentile(values, QUANTILES)
    low, high = float(quantiles[0]), float(quantiles[-1])
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    below = np.searchsorted(values, edges, "right")
    below[0] = np.searchsorted(values, edges[0])
    return {
        "quantiles": [_round(q) for q in quantiles],
        "negative": round(float((values < 0).mean()), 4),
        "histogram": [int(n) for n in np.rint(1000 * np.diff(below) / len(values))],
    }


def _tumour(
    volume: Volume, voxel_ml: float, modalities: list[str], intensities: dict[str, Any]
) -> dict[str, Any]:
    assert volume.mask is not None
    found: dict[str, Any] = {
        "tissue_ml": dict.fromkeys(TISSUES[1:], 0.0),
        "region_ml": dict.fromkeys(("WT", "TC", "ET", "RC"), 0.0),
        "outside_ml": 0.0,
        "lesions": 0,
        "contrast": {},
    }
    if not volume.mask.any():
        return found
    box = _box(volume.mask)
    mask, brain = volume.mask[box], volume.brain[box]
    counts = np.bincount(mask.reshape(-1), minlength=len(TISSUES))
    found["tissue_ml"] = {TISSUES[k]: _round(counts[k] * voxel_ml) for k in (NETC, SNFH, ET, RC)}
    for region in found["region_ml"]:
        found["region_ml"][region] = _round(counts[list(REGIONS[region])].sum() * voxel_ml)
    whole = np.isin(mask, REGIONS["WT"])
    found["outside_ml"] = _round(np.count_nonzero(whole & ~brain) * voxel_ml)
    found["lesions"] = int(cc3d.connected_components(whole, connectivity=26).max())
    inside = {k: (mask == k) & brain for k in (NETC, SNFH, ET, RC)}
    inside = {k: where for k, where in inside.items() if where.any()}
    for modality, channel in zip(modalities, volume.image, strict=True):
        quantiles = intensities[modality]["quantiles"]
        # From the quartiles, so that a bright tumour does not widen its own measure.
        deviation = (quantiles[4] - quantiles[2]) / 1.349 or 1.0
        part = channel[box]
        found["contrast"][modality] = {
            TISSUES[k]: round((float(part[where].mean()) - quantiles[3]) / deviation, 2)
            for k, where in inside.items()
        }
    return found


def _widest_slice(mask: np.ndarray | None) -> int | None:
    """The last axis' index with most of the whole tumour (x, y, z)."""
    if mask is None:
        return None
    # Labels 1 to 3; a 0 becomes 255.
    area = ((mask - np.uint8(1)) < ET).sum((0, 1))
    return int(area.argmax()) if area.any() else None


def _coding(scheme: LabelScheme) -> dict[str, str]:
    """Value in the file → tissue, 0 left out."""
    return {str(value): TISSUES[label] for value, label in scheme.codes.items() if value}


def _time_point(case: str) -> int | None:
    parsed = parse_case(case)
    time = parsed[1].groupdict().get("time") if parsed else None
    return None if time is None else int(time)


def _round(value: float) -> float:
    """Five significant digits, which is more than is known."""
    return float(f"{float(value):.5g}")
