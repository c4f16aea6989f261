"""The audit for programs: one row a case, and one record of the data set."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from lightning_brats import __version__
from lightning_brats.audit.flags import Flag
from lightning_brats.audit.rows import Findings
from lightning_brats.data.duplicates import Twin, twin_groups
from lightning_brats.data.exclusion import describe
from lightning_brats.errors import DataError


def write_table(
    path: Path,
    found: Findings,
    flags: Sequence[Flag],
    twins: Sequence[Twin],
    excluded: Sequence[DataError],
) -> Path:
    """Write a CSV with a row a case, the excluded ones last.

    Its columns are those of `Findings.table`, and `status` (used or excluded), `look` and `notes`
    (flags as text) and `near_identical_to` (cases).
    """
    look: dict[str, list[str]] = {}
    notes: dict[str, list[str]] = {}
    for flag in flags:
        (look if flag.look else notes).setdefault(flag.case, []).append(f"{flag.kind}: {flag.text}")
    others = {
        case: [other for other in group if other != case]
        for group in twin_groups(twins)
        for case in group
    }
    names = found.table["case"]
    table = found.table.assign(
        status="used",
        look=[" | ".join(look.get(case, [])) for case in names],
        notes=[" | ".join(notes.get(case, [])) for case in names],
        near_identical_to=[" ".join(others.get(case, [])) for case in names],
    )
    rest = pd.DataFrame(
        [
            {"case": e.case or "", "status": "excluded", "look": f"{e.problem} ({e.file})"}
            for e in excluded
        ],
        columns=["case", "status", "look"],
    )
    order = ["case", "status", "look", "notes", "near_identical_to"]
    columns = [*order, *(name for name in table if name not in order)]
    table = table.astype({"time_point": "Int64"})
    pd.concat([table, rest]).reindex(columns=columns).to_csv(path, index=False)
    return path


def dataset_record(
    name: str,
    found: Findings,
    flags: Sequence[Flag],
    twins: Sequence[Twin],
    excluded: Sequence[DataError],
) -> dict[str, Any]:
    """What is in the data set, as plain types."""
    table = found.table
    cohorts = {
        cohort: {
            "cases": len(own),
            "patients": int(own["patient"].nunique()),
            "labelled": int(own["labelled"].sum()),
        }
        for cohort, own in table.groupby("cohort")
    }
    labelled = table[table["labelled"].astype(bool)]
    return {
        "name": name,
        "lightning_brats": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "fingerprint": fingerprint(found),
        "cases": len(table),
        "patients": int(table["patient"].nunique()),
        "labelled": len(labelled),
        "cohorts": cohorts,
        "modalities": found.modalities,
        "regions": found.regions,
        "codings": {coding: int(n) for coding, n in labelled["coding"].value_counts().items()},
        "cases_a_patient": {
            str(n): int(patients)
            for n, patients in sorted(Counter(table["patient"].value_counts()).items())
        },
        "flags": {
            "look": dict(sorted(Counter(flag.kind for flag in flags if flag.look).items())),
            "notes": dict(sorted(Counter(flag.kind for flag in flags if not flag.look).items())),
        },
        "near_identical": [twin._asdict() for twin in twins],
        "excluded": describe(excluded),
    }


def write_record(path: Path, record: dict[str, Any]) -> Path:
    """Write the record as JSON."""
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def fingerprint(found: Findings) -> str:
    """The data set's short hash, as runs on it record it (`lightning_brats.preparation`)."""
    order = found.table["case"].argsort()
    text = ", ".join(found.facts[place] for place in order)
    return hashlib.sha256(f"[{text}]".encode()).hexdigest()[:16]
