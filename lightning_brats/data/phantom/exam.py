"""One examination of a data set, and the files that it goes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lightning_brats.data.phantom.plan import kind_of


@dataclass(frozen=True)
class Exam:
    """One examination to be made and written.

    Args:
        number: Position in the data set.
        patient: Seeds the patient; several examinations may share one.
        visit: Counts the patient's examinations.
        labelled: Whether the mask is written.
    """

    number: int
    patient: int
    visit: int
    labelled: bool

    @property
    def grade(self) -> str:
        """`HGG` or `LGG`."""
        return kind_of(self.patient).grade


@dataclass(frozen=True)
class Files:
    """Files of one examination, relative to the data set; one path for all images is a 4-D file."""

    case: str
    images: Mapping[str, str]
    mask: str
