"""Who wins where: by tumour size, cohort, grade and number of lesions.

Shapes: `P` patients, `S` runs of a choice.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lightning_brats.comparison.alignment import Aligned, Cell
from lightning_brats.comparison.paired import holm, joint_p
from lightning_brats.comparison.settings import Settings
from lightning_brats.comparison.uncertainty import Pool

COLUMNS = ["group", "level", "choice", "region", "metric", "mean", "n", "best", "p_holm"]
SMALLEST = 5
"""Patients below which a group is shown, but not tested."""
SIZES = ("small", "medium", "large")


def find_subgroups(aligned: Aligned, settings: Settings) -> pd.DataFrame:
    """Means of every choice in every group of patients, and whether the best one stands out.

    Returns:
        Columns group, level, choice, region, metric, mean, n (patients), best, p_holm: of the best
        against the baseline, or against the second where it is the baseline or there is none,
        corrected over all groups and choices; NaN for the others and in groups of fewer than
        five patients.
    """
    groups = patient_groups(aligned)
    rows = []
    for group, levels in groups.items():
        for level in dict.fromkeys(levels.values()):
            for cell in aligned.cells:
                inside = np.array([levels.get(patient) == level for patient in cell.patients])
                if inside.any():
                    rows += _rows(aligned, cell, inside, group, level, settings.baseline)
    table = pd.DataFrame(rows, columns=COLUMNS)
    table["p_holm"] = holm(table["p_holm"].to_numpy(float))
    return table


def patient_groups(aligned: Aligned) -> dict[str, dict[str, str]]:
    """Group → patient → level, in the levels' order; groups with one level are left out.

    Of a patient with several cases the mean size and number of lesions count, and the first cohort
    and grade.
    """
    known = _known_cases(aligned)
    groups: dict[str, dict[str, str]] = {}
    if "volume_WT_ml" in known:
        groups["size"] = _terciles(known["volume_WT_ml"])
    for name in ("cohort", "grade"):
        if name in known:
            found = known[name].dropna().astype(str)
            groups[name] = dict(sorted(found.items(), key=lambda item: item[1]))
    if "lesions" in known:
        numbers = known["lesions"].dropna().round()
        named = numbers.map(lambda n: "none or 1" if n < 2 else "2 or 3" if n < 4 else "4 or more")
        groups["lesions"] = dict(named[numbers.sort_values(kind="stable").index].items())
    return {name: levels for name, levels in groups.items() if len(set(levels.values())) > 1}


def _known_cases(aligned: Aligned) -> pd.DataFrame:
    """One row a patient, with what any entry knows."""
    entries = [entry for runs in aligned.runs for entry in runs if entry.cases is not None]
    patients = {patient for cell in aligned.cells for patient in cell.patients}
    tables = [
        entry.cases.assign(patient=entry.cases["case"].map(entry.patient))
        for entry in entries
        if entry.cases is not None
    ]
    if not tables:
        return pd.DataFrame()
    cases = pd.concat(tables).groupby("case", sort=True).first()  # the first value that is known
    cases = cases[cases["patient"].isin(patients)]
    how: Mapping[str, str] = {
        name: "mean" if name in ("volume_WT_ml", "lesions") else "first"
        for name in ("volume_WT_ml", "lesions", "cohort", "grade")
        if name in cases
    }
    return cases.groupby("patient").agg(dict(how)) if how else pd.DataFrame()


def _terciles(volumes: pd.Series) -> dict[str, str]:
    """Patient → size, with the limits in the levels' names."""
    volumes = volumes.dropna().sort_values(kind="stable")
    if volumes.nunique() < len(SIZES):
        return {}
    low, high = volumes.quantile([1 / 3, 2 / 3])
    limits = f"below {low:.3g} ml", f"{low:.3g} to {high:.3g} ml", f"above {high:.3g} ml"
    names = [f"{size} ({limit})" for size, limit in zip(SIZES, limits, strict=True)]
    return {
        patient: names[int(volume > low) + int(volume > high)]
        for patient, volume in volumes.items()
    }


def _rows(
    aligned: Aligned, cell: Cell, inside: np.ndarray, group: str, level: str, baseline: str | None
) -> list[tuple]:
    values = [own[inside] for own in cell.values]
    means = np.array([own.mean() for own in values])
    order = np.argsort(-cell.sign * means, kind="stable")
    best, rival = int(order[0]), int(order[1])
    if baseline in aligned.choices and aligned.choices[best] != baseline:
        rival = aligned.choices.index(baseline)
    patients = int(inside.sum())
    p = joint_p(values[best], values[rival], Pool.of(values))[2] if patients >= SMALLEST else np.nan
    if rival != order[1]:
        p = min(p * (len(values) - 1), 1)  # the best of several was picked for this test
    return [
        (
            group,
            level,
            choice,
            cell.region,
            cell.metric,
            means[number],
            patients,
            number == best,
            p if number == best else np.nan,
        )
        for number, choice in enumerate(aligned.choices)
    ]
