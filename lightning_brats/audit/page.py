"""The audit of a data set: one page for people, one table and one record for programs."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from lightning_brats.audit import charts, tables
from lightning_brats.audit.flags import Flag, find_flags
from lightning_brats.audit.record import dataset_record, write_record, write_table
from lightning_brats.audit.remarks import remarks, verdict
from lightning_brats.audit.rows import Findings, read_findings
from lightning_brats.audit.thumbnails import Thumbnail, thumbnail
from lightning_brats.data.duplicates import Twin, find_duplicates
from lightning_brats.data.entry import CachedCase
from lightning_brats.errors import DataError
from lightning_brats.figures.style import REGION_COLOURS
from lightning_brats.labels import REGION_NAMES

PICTURED = 120
"""Cases to look at that are shown with a picture, of about 20 kB each."""
PAIRS = 40
SAMPLE = 24
LISTED = 600
"""Rows of a table on the page; `audit.csv` has all."""


def write_audit(
    output: Path,
    name: str,
    entries: Sequence[CachedCase],
    excluded: Sequence[DataError] = (),
    twins: Sequence[Twin] | None = None,
) -> Path:
    """Write `audit.html`, `audit.csv` and `dataset.json` into a folder.

    The page loads nothing and stays below 15 MB whatever the number of cases: pictures are of
    cases to look at, near-identical pairs, and a drawn sample.

    Args:
        output: The folder; made when missing.
        name: Of the data set.
        entries: Prepared cases; the `meta` of each holds `statistics` (see
            `lightning_brats.data.statistics.case_statistics`).
        excluded: Why each case that was left out cannot be used.
        twins: Near-identical cases, where they are known already; else they are searched for.

    Returns:
        The page.

    Raises:
        DataError: An entry is damaged, or was prepared without statistics.
    """
    found = read_findings(entries)
    table = found.table
    if twins is None:
        twins = find_duplicates(list(table["case"]), list(table["patient"]), found.fingerprints)
    known = set(table["case"])
    twins = [twin for twin in twins if {twin.first, twin.second} <= known]
    flags = find_flags(found, twins)
    output.mkdir(parents=True, exist_ok=True)
    write_table(output / "audit.csv", found, flags, twins, excluded)
    record = dataset_record(name, found, flags, twins, excluded)
    write_record(output / "dataset.json", record)
    path = output / "audit.html"
    path.write_text(_render(name, record, found, flags, twins, excluded), encoding="utf-8")
    return path


def _render(
    name: str,
    record: dict[str, Any],
    found: Findings,
    flags: Sequence[Flag],
    twins: Sequence[Twin],
    excluded: Sequence[DataError],
) -> str:
    environment = Environment(
        loader=PackageLoader("lightning_brats"), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template("audit.html.j2").render(
        name=name,
        date=_date(),
        fingerprint=record["fingerprint"],
        colours=REGION_COLOURS,
        region_names=REGION_NAMES,
        verdict=verdict(found, flags, twins, excluded),
        remarks=remarks(found, twins),
        tiles=tables.tiles(found, flags, twins, excluded),
        facts=tables.facts(found, record),
        cohorts=tables.cohorts(found),
        excluded=tables.excluded(excluded, LISTED),
        excluded_count=len(excluded),
        flags=_flag_rows(found, flags),
        flag_rows_left=max(len({flag.case for flag in flags}) - LISTED, 0),
        kinds=tables.kinds(flags),
        pairs=_pairs(found, twins),
        pair_count=len(twins),
        sample=_sample(found, flags),
        volumes=charts.volume_strips(found),
        histograms=charts.histogram_panels(found),
        legend=charts.cohort_colours(found),
        grids=tables.grids(found),
    )


def _date() -> str:
    now = datetime.now()
    return f"{now.day} {now:%B %Y, %H:%M}"


def _flag_rows(found: Findings, flags: Sequence[Flag]) -> list[dict[str, Any]]:
    """One row a flagged case, with all its flags, those to look at first."""
    by_case: dict[str, list[Flag]] = {}
    for flag in flags:
        by_case.setdefault(flag.case, []).append(flag)
    place = _places(found)
    cohort = dict(zip(found.table["case"], found.table["cohort"], strict=True))
    rows: list[dict[str, Any]] = []
    for case, own in list(by_case.items())[:LISTED]:
        pictured = own[0].look and len(rows) < PICTURED
        rows.append(
            {
                "case": case,
                "cohort": cohort[case],
                "flags": own,
                "look": own[0].look,
                "kinds": " ".join(sorted({flag.kind.replace(" ", "-") for flag in own})),
                "thumbnail": thumbnail(found.entries[place[case]]) if pictured else None,
            }
        )
    return rows


def _pairs(found: Findings, twins: Sequence[Twin]) -> list[dict[str, Any]]:
    place = _places(found)
    patient = dict(zip(found.table["case"], found.table["patient"], strict=True))
    pairs = []
    for twin in twins[:PAIRS]:
        first = thumbnail(found.entries[place[twin.first]])
        second = thumbnail(found.entries[place[twin.second]], first.share)
        pairs.append(
            {
                "likeness": f"{twin.likeness:.4f}",
                "mirrored": twin.mirrored,
                "same_patient": twin.same_patient,
                "cases": [
                    {"case": case, "patient": patient[case], "thumbnail": picture}
                    for case, picture in ((twin.first, first), (twin.second, second))
                ],
            }
        )
    return pairs


def _sample(found: Findings, flags: Sequence[Flag]) -> list[dict[str, Any]]:
    """Cases drawn with a fixed seed among those that nothing was found about, if there are some."""
    suspicious = {flag.case for flag in flags if flag.look}
    records = found.table[["case", "cohort"]].to_dict("records")
    calm = [i for i, row in enumerate(records) if row["case"] not in suspicious]
    drawn = sorted(random.Random(0).sample(calm, min(SAMPLE, len(calm))))
    return [_caption(found, i, thumbnail(found.entries[i])) for i in drawn]


def _caption(found: Findings, i: int, picture: Thumbnail) -> dict[str, Any]:
    row: Mapping[str, Any] = found.table.iloc[i]
    volume = row.get("WT_ml")
    known = volume is not None and volume == volume
    return {
        "case": row["case"],
        "cohort": row["cohort"],
        "text": f"whole tumour {volume:.1f} ml" if known else "no mask",
        "thumbnail": picture,
    }


def _places(found: Findings) -> dict[str, int]:
    return {case: i for i, case in enumerate(found.table["case"])}
