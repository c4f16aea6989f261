"""A patient's time points from folders, masks, dates and, where there are no masks, a network."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from lightning_brats.data.case import Case
from lightning_brats.data.index import index_dataset
from lightning_brats.data.layouts.files import stem
from lightning_brats.data.layouts.names import patient_of
from lightning_brats.data.raw.scan import Scan
from lightning_brats.data.reading import read_images, read_mask
from lightning_brats.errors import ConfigError, DataError
from lightning_brats.followup.course import TimePoint
from lightning_brats.labels import LabelScheme
from lightning_brats.prediction.cases import BadCases, find_cases
from lightning_brats.prediction.models import Model

PREFERRED = ("t1c", "t1n", "t2f", "t2w")
"""Modalities to register by and to draw, the best first."""
Days = Mapping[str, date]


def find_points(
    inputs: Sequence[Path],
    model: Model | None,
    layout: str | None,
    labels: LabelScheme | None,
    patient: str | None,
) -> list[Case]:
    """The examinations of one patient, in the order of the inputs, those of a folder by name.

    Args:
        inputs: Case folders, one folder with a patient's examinations, or mask files.
        model: Tells the modalities, where masks are to be made.
        layout: Overrides the recognised layout.
        labels: Overrides the masks' coding; needed for mask files.
        patient: Which one, where a folder holds several.

    Raises:
        DataError: An input cannot be read, or the inputs are of several patients.
        ConfigError: Mask files without a coding.
    """
    cases: list[Case] = []
    for path in inputs:
        found = _found(path, model, layout, labels)
        found = [case for case in found if patient in (None, case.patient)]
        names = {case.case for case in cases}
        cases += [_renamed(case, path) if case.case in names else case for case in found]
    patients = sorted({case.patient for case in cases})
    if len(inputs) == 1 and len(patients) != 1:
        raise DataError(
            f"the folder holds {len(patients)} patients: {', '.join(patients[:5])}",
            file=inputs[0],
            remedy=f"name one: patient={patients[0]}" if patients else "check patient=…",
        )
    if not cases:
        raise DataError("no examination was found", remedy="check input=… and patient=…")
    check_patients([case.case for case in cases])
    return cases


def check_patients(names: Sequence[str]) -> None:
    """Look whether examinations are of one patient, as far as their names tell.

    Names of 2020 and 2021 number examinations, not patients, and other data sets' names say
    nothing: these are taken as they come.

    Args:
        names: Of the examinations.

    Raises:
        DataError: They name several patients.
    """
    told = sorted({patient for name in names if (patient := patient_of(name)) != name})
    if len(told) > 1:
        raise DataError(
            f"the examinations are of {len(told)} patients: {', '.join(told[:5])}",
            remedy="give those of one patient",
        )


def regions_to_measure(scheme: LabelScheme, known: Sequence[str] | None) -> list[str]:
    """A coding's regions that can be in a mask: of one that a network cannot find, 0 ml is no news.

    Args:
        scheme: Coding of the masks.
        known: Regions of the networks that made them; `None` where people did.
    """
    found = [region for region in scheme.regions if known is None or region in known]
    return found or list(known or ())


def _found(
    path: Path, model: Model | None, layout: str | None, labels: LabelScheme | None
) -> list[Case]:
    if path.name.endswith((".nii", ".nii.gz")):
        if labels is None:
            raise ConfigError(
                "the coding of mask files has to be given",
                file=path,
                remedy="labels=brats2023, or a map like labels={1:1,2:2,4:3}",
            )
        name = str(stem(path.name))
        return [Case(name, name, {}, labels, path)]
    if model is not None:
        return find_cases(model, path, layout, BadCases("error"))
    return index_dataset(path, layout, labels, require_masks=False)


def _renamed(case: Case, path: Path) -> Case:
    """Of two examinations with one name, the second gets that of the folder above as well."""
    return replace(case, case=f"{path.resolve().parent.name}_{case.case}")


def with_masks(cases: Sequence[Case], folder: Path | None) -> list[Case]:
    """The cases with the masks of a folder, `<case>.nii.gz`, or with their own.

    Raises:
        DataError: One is missing.
    """
    found = []
    for case in cases:
        mask = case.mask if folder is None else folder / f"{case.case}.nii.gz"
        if mask is None or not mask.is_file():
            raise DataError(
                "there is no mask of this time point",
                case=case.case,
                file=mask or (case.files[0].parent if case.files else None),
                remedy="name a folder of masks (masks=DIR), or let a network make them "
                "(checkpoint=…)",
            )
        found.append(replace(case, mask=mask))
    return found


def read_dates(given: str | Sequence[str] | None, cases: Sequence[Case]) -> Days:
    """Case → date.

    Args:
        given: A CSV table with the columns `case` and `date`, or dates in the order of the cases,
            all as YYYY-MM-DD.
        cases: The examinations.

    Raises:
        ConfigError: A date is missing or none.
    """
    if given is None:
        return {}
    names = [case.case for case in cases]
    if isinstance(given, str):
        texts = _table(Path(given))
    elif len(given) == len(names):
        texts = dict(zip(names, map(str, given), strict=True))
    else:
        raise ConfigError(f"{len(given)} dates of {len(names)} time points: {', '.join(names)}")
    missing = [name for name in names if name not in texts]
    if missing:
        raise ConfigError(
            f"there is no date of {', '.join(missing)}",
            file=given if isinstance(given, str) else None,
            remedy="the table has the columns case and date",
        )
    return {name: _day(texts[name], name) for name in names}


def _table(path: Path) -> dict[str, str]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return {row["case"].strip(): row["date"].strip() for row in csv.DictReader(file)}
    except (OSError, KeyError, AttributeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the dates cannot be read ({type(error).__name__}: {error})",
            file=path,
            remedy="give a CSV table with the columns case and date (YYYY-MM-DD)",
        ) from error


def _day(text: str, case: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"'{text}' is no date", case=case, remedy="write it as YYYY-MM-DD"
        ) from error


def time_point(case: Case, day: date | None) -> TimePoint:
    """A case's mask and one of its images, if it has any."""
    assert case.mask is not None
    labels, affine = read_mask(case.mask, case.scheme, case.case)
    scan = None
    if case.images:
        name = next((m for m in PREFERRED if m in case.images), next(iter(case.images)))
        ((_, data, own),) = read_images(case.with_modalities([name]))
        scan = Scan(data, own)
    return TimePoint(case.case, labels, affine, day, scan)
