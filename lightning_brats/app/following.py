"""A patient's examinations, from what was given to a follow-up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pandas as pd

from lightning_brats.app.intake import MASK, Given, Scan, adopt, coding_of, roles
from lightning_brats.app.jobs import Job
from lightning_brats.app.pictures import png
from lightning_brats.app.segmenting import segment
from lightning_brats.app.trained import Trained
from lightning_brats.data.case import Case
from lightning_brats.errors import DataError
from lightning_brats.followup import follow_up
from lightning_brats.followup.pictures import change_figure, volume_figure
from lightning_brats.followup.points import check_patients, regions_to_measure, time_point
from lightning_brats.followup.writing import sentence
from lightning_brats.labels import REGION_NAMES, SCHEMES, LabelScheme


@dataclass(frozen=True)
class Visit:
    """One examination.

    Args:
        given: Its volumes.
        day: When it was; `None` where that is not known.
    """

    given: Given
    day: date | None

    @property
    def has_mask(self) -> bool:
        """Whether a mask came with it."""
        return MASK in roles(self.given.scans)


@dataclass(frozen=True)
class Followed:
    """What is kept of a follow-up.

    Args:
        sentences: Region's name → what became of it.
        chart: PNG of volumes over time.
        changes: PNG of what came, stayed and went.
        growth: See `lightning_brats.followup.growth.growth_table`.
        notes: What a reader should know.
    """

    sentences: Mapping[str, str]
    chart: bytes
    changes: bytes
    growth: pd.DataFrame
    notes: tuple[str, ...]


def follow(
    job: Job,
    visits: Sequence[Visit],
    chosen: tuple[Trained, ...],
    folder: Path,
    coding: LabelScheme | None = None,
) -> Followed:
    """Compare examinations, in the order given.

    Args:
        job: Is told how far it is.
        visits: Two or more.
        chosen: Networks that make the masks; none takes the masks that were given.
        folder: Where files go; exists.
        coding: Of masks whose layout tells none; by default what all of them together look like.

    Raises:
        BratsError: An examination cannot be used, or they are of several patients.
    """
    check_patients([visit.given.name for visit in visits])
    unknown = coding or proposed_coding(visits)
    points, doubts = [], []
    known: Sequence[str] | None = None
    for number, visit in enumerate(visits):
        job.part = (number, len(visits))
        place = folder / f"visit_{number}"
        place.mkdir(parents=True, exist_ok=True)
        case = _clean(visit.given, unknown, place)
        if chosen:
            result = segment(job, chosen, case, False, place)
            case, known = result.segmented, result.regions
            doubts += [f"examination {number + 1}: {text}." for text in result.doubts]
        elif case.mask is None:
            raise DataError(
                f"examination {number + 1} has no mask", remedy="let a network make the masks"
            )
        points.append(time_point(replace(case, case=f"examination {number + 1}"), visit.day))
    job.part = (0, 1)
    job.at("comparing the examinations", 0.95)
    found = follow_up(points, regions_to_measure(case.scheme, known))
    return Followed(
        {REGION_NAMES[region]: sentence(found, region) for region in found.regions},
        png(volume_figure(found)),
        png(change_figure(found)),
        found.growth.round(3),
        (*doubts, *found.notes),
    )


def proposed_coding(visits: Sequence[Visit]) -> LabelScheme:
    """The coding of masks that come without one: by the values of all of a patient's masks.

    One alone may lack the label that tells, such as the enhancing tumour of a later visit.

    Raises:
        DataError: A mask cannot be read.
    """
    masks = [
        _chosen(visit.given)[MASK]
        for visit in visits
        if visit.has_mask and visit.given.scheme is None
    ]
    return coding_of(*masks) if masks else SCHEMES["brats2023"]


def _chosen(given: Given) -> dict[str, Scan]:
    return {role: s for role, s in zip(roles(given.scans), given.scans, strict=True) if role}


def _clean(given: Given, unknown: LabelScheme, folder: Path) -> Case:
    return adopt(_chosen(given), given.scheme or unknown, folder)
