"""What should make a person doubt a segmentation: the scans themselves, or what the network says.

Shapes: `C` modalities, `x y z` the cropped grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from lightning_brats.audit.flags import find_flags
from lightning_brats.audit.rows import read_findings
from lightning_brats.data.audit import HARMLESS, check_volume
from lightning_brats.data.case import Case, Volume
from lightning_brats.data.preprocess import Prepared
from lightning_brats.data.reading import read_native
from lightning_brats.data.statistics import case_statistics
from lightning_brats.errors import DataError
from lightning_brats.prediction import Prediction

LOW_DICE = 0.7
"""Expected Dice below which a region is called uncertain: as far apart as two people seldom are
(BraTS' raters agreed at 0.74 to 0.85, Menze et al., TMI 2015)."""
SAMPLE = 50_000
"""Voxels that modalities are compared on."""
DARK = 0.05
"""Share of the brain that is darkest on native T1: cerebrospinal fluid."""
TAIL = 0.5
"""Percent of the voxels at either end of the difference of the two T1 images."""
LOPSIDED = 1.5
"""Ratio of these ends from which the agent seems to be in the other image."""
NEGATIVE = 0.05
"""Share of negative voxels in a modality that shows that it has been normalised before."""


def find_doubts(case: Case, prepared: Prepared, found: Prediction) -> list[str]:
    """Sentences, the weightiest first; none where nothing is odd.

    Args:
        case: What was segmented.
        prepared: The same, as the network saw it.
        found: What the network said.
    """
    volume = read_native(case)
    brain = prepared.geometry.restore((prepared.image != 0).any(0).astype(np.uint8)) > 0
    labels = found.geometry.restore(found.labels)
    return [
        *of_scans(case, replace(volume, brain=brain, mask=labels), prepared),
        *of_prediction(found.dice, found.labels),
    ]


def of_scans(case: Case, volume: Volume, prepared: Prepared) -> list[str]:
    """What is odd about the scans, with the segmentation taken for the tumour.

    Args:
        case: Names the modalities.
        volume: The files, with the brain that the network saw and the mask that it made.
        prepared: As the network saw it.
    """
    try:
        warnings = check_volume(case, volume)
    except DataError as error:
        warnings = [error.problem]
    doubts = [text for text in warnings if not text.startswith((*HARMLESS, "the mask has no"))]
    doubts += _normalised(case, volume)
    if set(case.images) >= {"t1n", "t1c", "t2w", "t2f"}:
        brain = volume.brain if volume.brain.any() else np.ones_like(volume.brain)
        doubts += swapped(dict(zip(case.images, volume.image[:, brain], strict=True)))
    doubts += [text for text in _flags(case, volume, prepared) if text not in doubts]
    return doubts


def of_prediction(dice: Mapping[str, float], labels: np.ndarray) -> list[str]:
    """What is odd about the segmentation itself.

    Args:
        dice: Region → Dice that the network expects.
        labels: (x, y, z) internal labels.
    """
    if not labels.any():
        return ["no tumour was found; if there is one, the scans or the network do not fit"]
    low = {region: value for region, value in dice.items() if value < LOW_DICE}
    if not low:
        return []
    named = ", ".join(f"{value:.2f} for {region}" for region, value in low.items())
    return [f"the network is unsure: it expects a Dice of {named}; have the borders checked"]


def swapped(values: Mapping[str, np.ndarray]) -> list[str]:
    """Whether modalities are mistaken for each other, by what fluid and contrast agent look like.

    Fluid is dark on T1 and FLAIR and bright on T2; the agent brightens some of T1c and darkens
    nothing; and the image that is most like T1c is T1.

    Args:
        values: `t1n`, `t1c`, `t2w` and `t2f` → intensities of the same voxels of the brain.
    """
    step = max(1, len(values["t1n"]) // SAMPLE)
    ranks = {name: _ranks(each[::step]) for name, each in values.items()}
    alike = {
        pair: float(np.corrcoef(ranks[pair[0]], ranks[pair[1]])[0, 1])
        for pair in combinations(("t1n", "t1c", "t2w", "t2f"), 2)
    }
    closest = max(alike, key=lambda pair: alike[pair])
    if closest != ("t1n", "t1c"):
        return [
            f"{closest[0]} and {closest[1]} are more alike than t1n and t1c: are modalities "
            "mistaken for each other?"
        ]
    doubts = []
    fluid = (ranks["t1n"] + ranks["t1c"]) / 2
    dark = fluid <= np.quantile(fluid, DARK)
    if ranks["t2w"][dark].mean() < ranks["t2f"][dark].mean():
        doubts.append("fluid is brighter on t2f than on t2w: are the two mistaken for each other?")
    agent = _standard(values["t1c"][::step]) - _standard(values["t1n"][::step])
    below, above = np.abs(np.percentile(agent, [TAIL, 100 - TAIL]) - np.median(agent))
    if below > LOPSIDED * above:
        doubts.append(
            "contrast agent shows on t1n rather than on t1c: are the two mistaken for each other?"
        )
    return doubts


@dataclass(frozen=True)
class _Entry:
    """A case that is not in any cache, for what reads cases of a cache."""

    meta: dict[str, Any]
    folder: Path


def _flags(case: Case, volume: Volume, prepared: Prepared) -> list[str]:
    """What the audit of a data set would say of the case."""
    if not volume.brain.any():
        return []
    seen = replace(prepared, mask=None)
    measured = case_statistics(case, volume, seen)
    meta = {
        "case": case.case,
        "patient": case.patient,
        "cohort": "",
        "modalities": list(case.images),
        "labelled": volume.mask is not None,
        "warnings": [],
        "geometry": prepared.geometry.to_dict(),
        "statistics": measured,
    }
    entry: Any = _Entry(meta, case.files[0].parent)
    return [flag.text for flag in find_flags(read_findings([entry]), []) if flag.look]


def _normalised(case: Case, volume: Volume) -> list[str]:
    inside = volume.brain
    shares = {
        name: float((channel[inside] < 0).mean())
        for name, channel in zip(case.images, volume.image, strict=True)
        if inside.any()
    }
    names = [name for name, share in shares.items() if share > NEGATIVE]
    if not names:
        return []
    return [
        f"{', '.join(names)} {'has' if len(names) == 1 else 'have'} many negative values: has the "
        "image been normalised before? The network does that itself"
    ]


def _ranks(values: np.ndarray) -> np.ndarray:
    """Places in order, 0 to 1."""
    out = np.empty(len(values), np.float32)
    out[np.argsort(values, kind="stable")] = np.linspace(0, 1, len(values), dtype=np.float32)
    return out


def _standard(values: np.ndarray) -> np.ndarray:
    low, middle, high = np.percentile(values, [25, 50, 75])
    return (values - middle) / (high - low or 1.0)
