"""Prepared cases as a table: one row a case, made of the numbers that were measured with each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from lightning_brats.data.entry import CachedCase
from lightning_brats.data.statistics import BINS
from lightning_brats.errors import DataError
from lightning_brats.labels import TISSUES

TISSUE_COLUMNS = ("WT", "TC", "ET", "NETC", "SNFH", "RC")
IDENTITY = [
    "case",
    "patient",
    "cohort",
    "grade",
    "synthetic",
    "time_point",
    "modalities",
    "labelled",
    "coding",
    "regions",
    "shape",
    "spacing",
    "orientation",
    "brain_ml",
]
CHUNK = 5_000
"""Rows that are collected before they are made columns, which take a tenth of the memory."""
QUANTILE_COLUMNS = ("p0.1", "p1", "p25", "p50", "p75", "p99", "p99.9")


@dataclass
class Findings:
    """What was read of the prepared cases, everything in the order of the entries.

    Args:
        entries: The cases.
        table: A row a case: identity, coding, grid, volumes in ml (`WT_ml` …), and of each
            modality quantiles (`t1c_p50` …), share of negative voxels (`t1c_negative`) and
            brightness of the tissues (`t1c_ET_sd` …: standard deviations from the brain's median).
        fingerprints: Modality → code of each case.
        warnings: Of each case, from when it was prepared.
        histograms: (cohort, modality) → mean histogram (`BINS`,), its sum about 1.
        facts: What makes each case the same one (`lightning_brats.preparation.fingerprint`), as
            JSON.
    """

    entries: Sequence[CachedCase]
    table: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=IDENTITY))
    fingerprints: list[dict[str, str]] = field(default_factory=list)
    warnings: list[list[str]] = field(default_factory=list)
    histograms: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    facts: list[str] = field(default_factory=list)

    @property
    def modalities(self) -> list[str]:
        """Every modality that any case has, in the order in which they appear."""
        return _words(self.table["modalities"])

    @property
    def regions(self) -> list[str]:
        """Every region that is trained and scored."""
        return _words(self.table["regions"])

    @property
    def cohorts(self) -> list[str]:
        """Largest first."""
        return list(self.table["cohort"].value_counts(sort=True).index)


def read_findings(entries: Sequence[CachedCase]) -> Findings:
    """Read the meta data of every case, and none of its volumes.

    Raises:
        DataError: An entry is damaged, or was prepared without its statistics being measured.
    """
    found = Findings(entries)
    sums: dict[tuple[str, str], np.ndarray] = {}
    rows: list[dict[str, Any]] = []
    parts: list[pd.DataFrame] = []
    for entry in entries:
        meta = entry.meta
        measured = meta.get("statistics", {})
        if "intensities" not in measured:
            raise DataError(
                "it was prepared without its statistics being measured",
                case=meta["case"],
                file=entry.folder,
                remedy="prepare it again: experiments/prepare.py",
            )
        rows.append(_row(meta, measured))
        found.fingerprints.append(measured["fingerprint"])
        found.warnings.append(list(meta["warnings"]))
        found.facts.append(json.dumps(_facts(meta, measured)))
        for modality, values in measured["intensities"].items():
            total = sums.setdefault((meta["cohort"], modality), np.zeros(BINS))
            total += np.asarray(values["histogram"]) / 1000
        if len(rows) == CHUNK:
            parts.append(pd.DataFrame(rows))
            rows.clear()
    if rows:
        parts.append(pd.DataFrame(rows))
    if parts:
        found.table = pd.concat(parts, ignore_index=True)
    counts = {key: _having(found.table, *key) for key in sums}
    found.histograms = {key: total / counts[key] for key, total in sums.items()}
    return found


def _row(meta: dict[str, Any], measured: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "case": meta["case"],
        "patient": meta["patient"],
        "cohort": meta["cohort"],
        "grade": meta.get("grade") or "",
        "synthetic": bool(meta.get("synthetic", False)),
        "time_point": measured["time_point"],
        "modalities": ", ".join(meta["modalities"]),
        "labelled": bool(meta["labelled"]),
        "coding": ", ".join(f"{value} {tissue}" for value, tissue in measured["coding"].items()),
        "regions": ", ".join(measured["regions"]),
        "shape": "×".join(str(n) for n in measured["shape"]),
        "spacing": "×".join(f"{size:.4g}" for size in measured["spacing"]),
        "orientation": measured["orientation"],
        "brain_ml": measured["brain_ml"],
    }
    tumour = measured["tumour"]
    if tumour:
        volumes = {**tumour["tissue_ml"], **tumour["region_ml"]}
        row |= {f"{name}_ml": volumes[name] for name in TISSUE_COLUMNS}
        row |= {"outside_ml": tumour["outside_ml"], "lesions": tumour["lesions"]}
    for modality, values in measured["intensities"].items():
        quantiles = zip(QUANTILE_COLUMNS, values["quantiles"], strict=True)
        row |= {f"{modality}_{name}": value for name, value in quantiles}
        row[f"{modality}_negative"] = values["negative"]
    for modality, brightness in (tumour or {}).get("contrast", {}).items():
        row |= {f"{modality}_{tissue}_sd": value for tissue, value in brightness.items()}
    return row


def _words(texts: pd.Series) -> list[str]:
    return list(dict.fromkeys(word for text in texts.unique() for word in text.split(", ")))


def _facts(meta: dict[str, Any], measured: dict[str, Any]) -> list[Any]:
    codes = {0: 0} | {int(v): TISSUES.index(name) for v, name in measured["coding"].items()}
    shape = list(meta["geometry"]["shape"])
    return [meta["case"], meta["patient"], meta["modalities"], sorted(codes.items()), shape]


def _having(table: pd.DataFrame, cohort: str, modality: str) -> int:
    """Cases of a cohort with a modality."""
    own = table[table["cohort"] == cohort]
    return int(own[f"{modality}_p50"].notna().sum())
