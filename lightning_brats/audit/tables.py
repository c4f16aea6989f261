"""The page's numbers and tables, as text ready to print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from lightning_brats.audit.flags import Flag
from lightning_brats.audit.rows import Findings
from lightning_brats.data.duplicates import Twin, twin_groups
from lightning_brats.errors import DataError
from lightning_brats.figures.style import GREY, REGION_COLOURS
from lightning_brats.report.wording import MISSING, number, plural

MOST_VALUES = 12
"""Different grids, orientations or sizes listed a cohort."""
WARNING = "#D55E00"


def tiles(
    found: Findings, flags: Sequence[Flag], twins: Sequence[Twin], excluded: Sequence[DataError]
) -> list[dict[str, Any]]:
    """The headline numbers."""
    table = found.table
    look = len({flag.case for flag in flags if flag.look})
    noted = len({flag.case for flag in flags if not flag.look})
    patients = int(table["patient"].nunique())
    labelled = int(table["labelled"].sum())
    copies = sum(len(group) for group in twin_groups(twins))
    return [
        _tile("Cases", len(table), REGION_COLOURS["SNFH"], f"of {plural(patients, 'patient')}"),
        _tile("With a mask", labelled, REGION_COLOURS["NETC"], f"{len(table) - labelled} without"),
        _tile("To look at", look, WARNING if look else GREY, f"and {noted} with a note"),
        _tile(
            "Near-identical",
            copies,
            WARNING if copies else GREY,
            f"in {plural(len(twin_groups(twins)), 'group')}" if copies else "every image differs",
        ),
        _tile(
            "Left out",
            len(excluded),
            WARNING if excluded else GREY,
            "listed below" if excluded else "every case can be used",
        ),
    ]


def facts(found: Findings, record: dict[str, Any]) -> list[tuple[str, str]]:
    """What is in the data set, as name and value."""
    table = found.table
    spacings = table["spacing"].value_counts()
    shapes = table["shape"].value_counts()
    return [
        ("Cohorts", ", ".join(_named(c) for c in found.cohorts) or MISSING),
        ("Examinations a patient", _repeated(record["cases_a_patient"])),
        ("Modalities", ", ".join(found.modalities) or MISSING),
        ("Regions", ", ".join(found.regions) or MISSING),
        ("Labels in the files", "; ".join(c for c in record["codings"]) or MISSING),
        ("Voxels in the files", _commonest(shapes)),
        ("Voxel size in mm", _commonest(spacings)),
        ("Stored orientation", ", ".join(table["orientation"].value_counts().index) or MISSING),
    ]


def cohorts(found: Findings) -> list[dict[str, Any]]:
    """One row a cohort."""
    rows = []
    for cohort in found.cohorts:
        own = found.table[found.table["cohort"] == cohort]
        rows.append(
            {
                "name": _named(cohort),
                "cases": len(own),
                "patients": int(own["patient"].nunique()),
                "labelled": int(own["labelled"].sum()),
                "modalities": "; ".join(own["modalities"].unique()),
                "coding": "; ".join(own[own["labelled"]]["coding"].unique()) or MISSING,
                "brain": _middle(own["brain_ml"], 0),
                "tumour": _middle(own["WT_ml"]) if "WT_ml" in own else MISSING,
                "lesions": _middle(own["lesions"], 0) if "lesions" in own else MISSING,
            }
        )
    return rows


def grids(found: Findings) -> list[dict[str, Any]]:
    """Sizes, voxels and orientations in the files: value, and cases of each cohort."""
    blocks = []
    titles = {
        "shape": "Voxels",
        "spacing": "Voxel size in mm",
        "orientation": "Stored orientation",
    }
    for column, title in titles.items():
        counts = found.table.groupby([column, "cohort"]).size()
        totals = found.table[column].value_counts()
        rows = [
            {
                "value": value,
                "total": int(total),
                "cohorts": ", ".join(
                    f"{_named(cohort)} ({counts[value, cohort]})"
                    for cohort in found.cohorts
                    if (value, cohort) in counts
                ),
            }
            for value, total in totals.head(MOST_VALUES).items()
        ]
        more = max(len(totals) - MOST_VALUES, 0)
        blocks.append({"title": title, "rows": rows, "more": more})
    return blocks


def excluded(errors: Sequence[DataError], most: int) -> list[dict[str, str]]:
    """One row a case that was left out."""
    return [
        {
            "case": error.case or MISSING,
            "problem": error.problem,
            "file": str(error.file or ""),
            "remedy": error.remedy or "",
        }
        for error in errors[:most]
    ]


def kinds(flags: Sequence[Flag]) -> list[tuple[str, str, int]]:
    """Kind for scripts, kind in words, and its number of cases, commonest first."""
    cases = Counter(kind for kind, _ in {(flag.kind, flag.case) for flag in flags})
    ordered = sorted(cases.items(), key=lambda item: (-item[1], item[0]))
    return [(kind.replace(" ", "-"), kind, count) for kind, count in ordered]


def _tile(title: str, value: int, colour: str, note: str) -> dict[str, Any]:
    return {"title": title, "value": f"{value:,}", "colour": colour, "note": note}


def _named(cohort: str) -> str:
    return cohort or "unnamed"


def _commonest(counts: pd.Series) -> str:
    if counts.empty:
        return MISSING
    first = str(counts.index[0])
    return first if len(counts) == 1 else f"{first}, {len(counts) - 1} more"


def _repeated(patients: dict[str, int]) -> str:
    """From number of cases → patients with so many."""
    if set(patients) <= {"1"}:
        return "one each" if patients else MISSING
    several = sum(count for cases, count in patients.items() if cases != "1")
    low, high = min(map(int, patients)), max(map(int, patients))
    span = str(low) if low == high else f"{low} to {high}"
    return f"{span}; {plural(several, 'patient')} with several"


def _middle(values: pd.Series, places: int = 1) -> str:
    """Median and, of several values, the quartiles."""
    known = values.dropna()
    if known.empty:
        return MISSING
    low, middle, high = known.quantile([0.25, 0.5, 0.75])
    text = number(float(middle), places)
    if len(known) == 1:
        return text
    return f"{text} [{number(float(low), places)} to {number(float(high), places)}]"
