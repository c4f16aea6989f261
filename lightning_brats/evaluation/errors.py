"""Where masks err, case by case: signed surface distances, misclassified voxels, confused labels.

Shapes: `L` labels, `X Y Z` voxels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lightning_brats.data.case import Case
from lightning_brats.labels import BACKGROUND, TISSUES, region_masks
from lightning_brats.metrics.boundary import confusion_matrix, error_shares, surface_errors
from lightning_brats.metrics.surface import Spacing

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
EDGES = np.arange(-20.5, 21)
"""Of the histogram in mm: bins 1 mm wide around whole numbers, the outer ones open."""
ALL = "all"
"""Stands for the region in the rows that look at every label at once."""


@dataclass(frozen=True)
class CaseErrors:
    """What is kept of one case.

    Args:
        measures: Region (or `all`) → measure → value, as in `ErrorTables.measures`.
        areas: Region → (bins,) area in mm² of both surfaces, by signed distance (`EDGES`).
        confusion: (L, L) voxels, row the reference's label, column the prediction's.
        voxel: Volume of a voxel in ml.
    """

    measures: Mapping[str, Mapping[str, float]]
    areas: Mapping[str, np.ndarray]
    confusion: np.ndarray
    voxel: float


def case_errors(
    reference: np.ndarray, prediction: np.ndarray, spacing: Spacing, regions: Sequence[str]
) -> CaseErrors:
    """Look at one case, within the box that holds both masks.

    Args:
        reference: (X, Y, Z) internal labels.
        prediction: (X, Y, Z) internal labels.
        spacing: Voxel edge lengths in mm.
        regions: Names.
    """
    box = _box(reference, prediction)
    first, second = reference[box], prediction[box]
    confusion = confusion_matrix(first, second)
    confusion[BACKGROUND, BACKGROUND] += reference.size - first.size
    measures: dict[str, dict[str, float]] = {ALL: {"misclassified": _misclassified(confusion)}}
    areas = {}
    shares = error_shares(first, second, regions)
    for region in regions:
        own, predicted = (region_masks(labels, [region])[0] for labels in (first, second))
        found = surface_errors(own, predicted, spacing)
        measures[region] = {
            "misclassified": shares[region]["missed"] + shares[region]["false"],
            **shares[region],
            "assd": found.mean_distance,
            **{f"distance_p{round(100 * q)}": found.percentile(q) for q in QUANTILES},
        }
        areas[region] = found.histogram(EDGES)
    return CaseErrors(measures, areas, confusion, float(np.prod(spacing)) / 1000)


@dataclass(frozen=True)
class ErrorTables:
    """The cases' errors as tidy tables.

    Args:
        measures: Columns case, patient, cohort, region, measure, value. Of each region
            `misclassified`, `missed` and `false` are shares of the voxels that either mask holds;
            `assd` is the mean distance of both surfaces and `distance_p5` … `distance_p95` are
            quantiles of the signed one, in mm by area. Of the region `all`, `misclassified` is the
            share of the voxels labelled in either mask that have two different labels.
        distances: Columns case, region, low, high (mm), area (mm²); empty bins are left out.
        confusion: Columns case, reference, prediction (tissues), voxels, ml; pairs that occur.
    """

    measures: pd.DataFrame
    distances: pd.DataFrame
    confusion: pd.DataFrame

    @classmethod
    def of(cls, cases: Sequence[Case], errors: Mapping[str, CaseErrors]) -> ErrorTables:
        """Tables of some cases, in their order."""
        found = [(case, errors[case.case]) for case in cases]
        return cls(
            pd.DataFrame(
                [
                    (case.case, case.patient, case.cohort, region, measure, value)
                    for case, each in found
                    for region, values in each.measures.items()
                    for measure, value in values.items()
                ],
                columns=["case", "patient", "cohort", "region", "measure", "value"],
            ),
            pd.DataFrame(
                [(case.case, *row) for case, each in found for row in _bins(each)],
                columns=["case", "region", "low", "high", "area"],
            ),
            pd.DataFrame(
                [(case.case, *row) for case, each in found for row in _pairs(each)],
                columns=["case", "reference", "prediction", "voxels", "ml"],
            ),
        )

    @classmethod
    def read(cls, folder: Path) -> ErrorTables | None:
        """What `write` left in a folder; `None` where it left nothing."""
        paths = [folder / name for name in FILES]
        if not all(path.is_file() for path in paths):
            return None
        # Identifiers such as 00012 or NA are text, whatever they look like.
        texts = {name: str for name in ("case", "patient", "cohort", "region")}
        tables = [
            pd.read_csv(path, dtype=texts, keep_default_na=False, na_values={"value": [""]})
            for path in paths
        ]
        return cls(*tables)

    @classmethod
    def join(cls, parts: Sequence[ErrorTables]) -> ErrorTables:
        """Tables of several sets of cases as one."""
        names = ("measures", "distances", "confusion")
        return cls(
            *(pd.concat([getattr(p, name) for p in parts], ignore_index=True) for name in names)
        )

    def write(self, folder: Path) -> None:
        """Write `errors.csv`, `errors_distances.csv` and `errors_confusion.csv`."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in zip(FILES, (self.measures, self.distances, self.confusion), strict=True):
            table.to_csv(folder / name, index=False)

    def matrix(self) -> np.ndarray:
        """(L, L) ml over all cases, row the reference's tissue, column the prediction's."""
        pooled = self.confusion.groupby(["reference", "prediction"])["ml"].sum()
        return np.array([[pooled.get((row, column), 0.0) for column in TISSUES] for row in TISSUES])

    def profile(self, region: str) -> np.ndarray | None:
        """(bins,) share of a region's surface by signed distance: the mean over cases.

        Every case counts the same, however large its surface; `None` where no case has one.
        """
        rows = self.distances[self.distances["region"] == region]
        if rows.empty:
            return None
        places = np.searchsorted(EDGES, (rows["low"] + rows["high"]) / 2) - 1
        shares = rows["area"] / rows.groupby("case")["area"].transform("sum")
        return np.bincount(places, shares, len(EDGES) - 1) / rows["case"].nunique()


FILES = ("errors.csv", "errors_distances.csv", "errors_confusion.csv")


def _box(reference: np.ndarray, prediction: np.ndarray) -> tuple[slice, ...]:
    """The smallest box around both masks; one voxel where both are empty."""
    either = (reference != BACKGROUND) | (prediction != BACKGROUND)
    box = []
    for axis in range(either.ndim):
        others = tuple(other for other in range(either.ndim) if other != axis)
        inside = np.flatnonzero(either.any(others))
        box.append(slice(inside[0], inside[-1] + 1) if len(inside) else slice(0, 1))
    return tuple(box)


def _misclassified(confusion: np.ndarray) -> float:
    labelled = confusion.sum() - confusion[BACKGROUND, BACKGROUND]
    return float((confusion.sum() - np.trace(confusion)) / max(1, labelled))


def _bins(errors: CaseErrors) -> Iterator[tuple[str, float, float, float]]:
    for region, areas in errors.areas.items():
        for place in np.flatnonzero(areas):
            low, high = float(EDGES[place]), float(EDGES[place + 1])
            yield region, low, high, float(areas[place])


def _pairs(errors: CaseErrors) -> Iterator[tuple[str, str, int, float]]:
    for row, column in np.argwhere(errors.confusion):
        voxels = int(errors.confusion[row, column])
        yield TISSUES[row], TISSUES[column], voxels, voxels * errors.voxel
