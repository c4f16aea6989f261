"""What deserves a look, case by case: each check states what was found, and against what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from lightning_brats.audit.rows import Findings
from lightning_brats.data.audit import HARMLESS, warning_kind
from lightning_brats.data.duplicates import Twin

BRAIN_ML = (500.0, 2200.0)
"""No brain outside this range is likely, an infant's to a large adult's with its ventricles."""
OUTLIER = 6.0
"""Distance from the cohort's median in robust standard deviations (1.4826 · MAD)."""
ENOUGH = 20
"""Cases of a cohort from which it has a distribution to be outside of."""
MAJORITY = 0.8
"""Share of a cohort that makes a grid or orientation its usual one."""
THICK = 2.5
"""Longest over shortest voxel edge from which slices are called thick."""
OUTSIDE = 0.05
"""Share of the tumour outside the brain."""
LARGE = 1 / 3
"""Share of the brain from which a tumour is improbable."""
GROWTH = 1.3
"""Ratio of one patient's brain volumes at two time points that skull stripping does not explain."""
CONTRAST_ML = 1.0
"""Tissue below this is too small to compare its brightness."""


class Flag(NamedTuple):
    """Something about a case.

    Args:
        case: Whose.
        kind: What it is about, e.g. `geometry`.
        text: What was found.
        look: Whether a person should look; else it is a note, common and harmless.
    """

    case: str
    kind: str
    text: str
    look: bool = True


def find_flags(found: Findings, twins: Sequence[Twin]) -> list[Flag]:
    """All flags, those to look at first, then by case."""
    flags = [
        *_warnings(found),
        *_twins(twins),
        *_grids(found.table),
        *_brains(found.table),
        *_tumours(found.table),
        *_intensities(found),
        *_time_points(found.table),
    ]
    return sorted(flags, key=lambda flag: (not flag.look, flag.case, flag.kind))


def _warnings(found: Findings) -> Iterator[Flag]:
    for case, warnings in zip(found.table["case"], found.warnings, strict=True):
        for warning in warnings:
            yield Flag(case, warning_kind(warning), warning, not warning.startswith(HARMLESS))


def _twins(twins: Sequence[Twin]) -> Iterator[Flag]:
    for twin in twins:
        for case, other in ((twin.first, twin.second), (twin.second, twin.first)):
            text = f"near-identical images: {other} (likeness {twin.likeness:.4f})"
            if twin.same_patient:
                text = f"the same images as {other}, which is said to be another examination"
            if twin.mirrored:
                text += "; mirrored, so the orientation of one of the two is wrong"
            yield Flag(case, "duplicate", text)


def _grids(table: pd.DataFrame) -> Iterator[Flag]:
    for row in table.itertuples():
        sizes = [float(size) for size in row.spacing.split("×")]
        if max(sizes) >= THICK * min(sizes):
            yield Flag(row.case, "geometry", f"thick slices: voxels of {row.spacing} mm")
    for column, kind, what, look in (
        ("shape", "geometry", "voxels", False),
        ("spacing", "geometry", "mm a voxel", True),
        ("orientation", "orientation", "", False),
    ):
        for _, own in table.groupby("cohort"):
            shares = own[column].value_counts(normalize=True)
            if len(shares) > 1 and shares.iloc[0] >= MAJORITY:
                usual = shares.index[0]
                for row in own[own[column] != usual].itertuples():
                    value = f"{getattr(row, column)} {what}".rstrip()
                    text = f"{column} {value}; {shares.iloc[0]:.0%} of the cohort have {usual}"
                    yield Flag(row.case, kind, text, look)


def _brains(table: pd.DataFrame) -> Iterator[Flag]:
    low, high = BRAIN_ML
    for row in table.itertuples():
        if not low <= row.brain_ml <= high:
            yield Flag(
                row.case,
                "brain",
                f"a brain of {row.brain_ml:.0f} ml; {low:.0f} to {high:.0f} ml are plausible: is "
                "the skull removed, and nothing else?",
            )
    for _, own in table.groupby("cohort"):
        for place, value in _outliers(own["brain_ml"]):
            row = own.iloc[place]
            if low <= row["brain_ml"] <= high:
                text = f"a brain of {row['brain_ml']:.0f} ml, {value:+.1f} SD from the cohort's"
                yield Flag(row["case"], "brain", f"{text} median")


def _tumours(table: pd.DataFrame) -> Iterator[Flag]:
    if "WT_ml" not in table:
        return
    for row in table[table["WT_ml"] > 0].itertuples():
        share = row.outside_ml / row.WT_ml
        if OUTSIDE < share < 1:
            yield Flag(
                row.case,
                "tumour",
                f"{share:.0%} of the tumour ({row.outside_ml:.1f} ml) lie outside the brain",
            )
        if row.WT_ml > LARGE * row.brain_ml:
            yield Flag(row.case, "tumour", f"the tumour is {row.WT_ml / row.brain_ml:.0%} of brain")


def _intensities(found: Findings) -> Iterator[Flag]:
    table = found.table
    for modality in found.modalities:
        flat = table[table[f"{modality}_p25"] == table[f"{modality}_p75"]]
        for case in flat["case"]:
            yield Flag(case, "intensity", f"{modality} has one value in half of the brain")
    yield from _contrast(table)


def _contrast(table: pd.DataFrame) -> Iterator[Flag]:
    """The two facts that define a tissue: ET takes up contrast agent, SNFH is bright on FLAIR."""
    if {"t1c_ET_sd", "t1n_ET_sd"} <= set(table):
        darker = (table["t1c_ET_sd"] < table["t1n_ET_sd"]) & (table["ET_ml"] >= CONTRAST_ML)
        for row in table[darker].itertuples():
            yield Flag(
                row.case,
                "intensity",
                f"the enhancing tumour is brighter on t1n ({row.t1n_ET_sd:+.1f} SD) than on t1c "
                f"({row.t1c_ET_sd:+.1f} SD): are the two swapped, or is the mask another case's?",
            )
    if "t2f_SNFH_sd" in table:
        darker = (table["t2f_SNFH_sd"] < 0) & (table["SNFH_ml"] >= CONTRAST_ML)
        for row in table[darker].itertuples():
            yield Flag(
                row.case,
                "intensity",
                f"the oedema is darker than the brain on t2f ({row.t2f_SNFH_sd:+.1f} SD): is this "
                "FLAIR, and the mask this case's?",
            )


def _time_points(table: pd.DataFrame) -> Iterator[Flag]:
    extremes = table.groupby("patient")["brain_ml"].agg(["min", "max"])
    changed = extremes.index[extremes["max"] > GROWTH * extremes["min"]]
    for patient, own in table[table["patient"].isin(changed)].groupby("patient"):
        small, large = own.loc[own["brain_ml"].idxmin()], own.loc[own["brain_ml"].idxmax()]
        for one, other in ((small, large), (large, small)):
            yield Flag(
                one["case"],
                "time points",
                f"a brain of {one['brain_ml']:.0f} ml, but {other['brain_ml']:.0f} ml in "
                f"{other['case']}: is this still patient {patient}?",
            )


def _outliers(values: pd.Series) -> list[tuple[int, float]]:
    """Place and robust distance of the values far from the others."""
    numbers = values.to_numpy(float)
    if len(numbers) < ENOUGH:
        return []
    middle = np.median(numbers)
    deviation = 1.4826 * float(np.median(np.abs(numbers - middle)))
    if deviation == 0:
        return []
    distance = (numbers - middle) / deviation
    return [(int(i), float(distance[i])) for i in np.flatnonzero(np.abs(distance) > OUTLIER)]
