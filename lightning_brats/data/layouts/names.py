"""What the names in data sets mean: modalities, tissues and patients."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from lightning_brats.errors import DataError
from lightning_brats.labels import ET, NETC, RC, SNFH, LabelScheme

_ALIASES = {
    "t1n": ("t1", "t1n", "t1w"),
    "t1c": ("t1c", "t1ce", "t1gd"),
    "t2w": ("t2", "t2w"),
    "t2f": ("t2f", "flair", "t2flair"),
}
_MODALITY = {alias: modality for modality, aliases in _ALIASES.items() for alias in aliases}

_TISSUES = (
    (SNFH, r"\bed\b|edema|snfh|flair hyperintens"),
    (NETC, r"\bnetc?\b|\bncr\b|necro|non ?enhanc"),
    (RC, r"\brc\b|cavity"),
    (ET, r"\bet\b|enhanc"),
)
"""Tried in this order: an SNFH is 'non-enhancing', and what is non-enhancing is not enhancing."""

_REGIONS = ((NETC, r"\btc\b|core"), (SNFH, r"\bwt\b|whole|^tumou?r$"))
"""Region → the label of what lies in it and in no narrower one."""

_CASE_NAMES = {
    layout: re.compile(pattern, re.IGNORECASE)
    for layout, pattern in {
        "brats2018": r"(?P<patient>brats18_.+)_\d+",
        "brats2019": r"(?P<patient>brats19_.+)_\d+",
        "brats2020": r"(?P<patient>brats20_[a-z]+_\d+)",
        "brats2021": r"(?P<patient>brats2021_\d+)",
        "brats2023": r"(?P<patient>brats-(?P<cohort>[a-z]+)-\d+)-(?P<time>\d+)",
    }.items()
}
"""Layout → its case names. The post-treatment cases of 2024 are named like those of 2023."""


def parse_case(name: str) -> tuple[str, re.Match[str]] | None:
    """Layout whose case names look like this, and the match; `None` where none does."""
    for layout, pattern in _CASE_NAMES.items():
        if match := pattern.fullmatch(name):
            return layout, match
    return None


def patient_of(case: str) -> str:
    """The case's name without its time point, or the whole name where it has none."""
    parsed = parse_case(case)
    return parsed[1]["patient"] if parsed else case


def modality_of(name: str) -> str | None:
    """BraTS' name of a modality (`T1Gd` → `t1c`); `None` where it is not one of the four."""
    return _MODALITY.get(re.sub(r"[^a-z0-9]", "", name.lower()))


def file_role(stem: str) -> str | None:
    """Modality, or `mask`, by the last part of a file's stem, in either case.

    One BraTS 2020 case ends its mask with `_Segm`, one 2023 case its T2 with `-t2W`.
    """
    return _role(stem[max(stem.rfind("_"), stem.rfind("-")) + 1 :])


@lru_cache(1024)
def _role(suffix: str) -> str | None:
    return "mask" if suffix.lower() in ("seg", "segm") else modality_of(suffix)


def scheme_from_names(labels: Mapping[str, Any], name: str, file: Path) -> LabelScheme:
    """Label coding from the `labels` of a `dataset.json`.

    Args:
        labels: Name → value or values (nnU-Net, whose regions are lists), or value → name (MSD).
        name: Name of the coding.
        file: For messages.

    Raises:
        DataError: A name is not understood, or one value has two meanings.
    """
    tissues: dict[int, int] = {}
    regions: dict[int, int] = {}
    for key, value in labels.items():
        text, values = (value, key) if isinstance(value, str) else (key, value)
        text = re.sub(r"[\W_]+", " ", text.lower()).strip()
        try:
            values = [int(v) for v in (values if isinstance(values, list) else [values])]
        except (TypeError, ValueError) as error:
            raise _unclear(f"the label '{text}' has no whole number", file) from error
        if text == "background":
            continue
        if (tissue := _first(_TISSUES, text)) is not None:
            for v in values:
                if tissues.setdefault(v, tissue) != tissue:
                    raise _unclear(f"the mask value {v} has two meanings in {dict(labels)}", file)
        elif (region := _first(_REGIONS, text)) is not None:
            # NETC < SNFH: of two regions around a value, the core is the narrower one.
            regions.update({v: min(regions.get(v, SNFH), region) for v in values})
        else:
            raise _unclear(f"the label '{text}' is not understood", file)
    codes = dict(sorted({**regions, **tissues}.items()))
    present = set(codes.values())
    rules = {"WT": {NETC, SNFH, ET}, "TC": {NETC, ET}, "ET": {ET}, "RC": {RC}}
    return LabelScheme(name, codes, tuple(r for r, needs in rules.items() if needs & present))


def _first(patterns: tuple[tuple[int, str], ...], text: str) -> int | None:
    return next((label for label, pattern in patterns if re.search(pattern, text)), None)


def _unclear(problem: str, file: Path) -> DataError:
    remedy = "give file value → internal label yourself, e.g. data.labels={1:1,2:2,3:3}"
    return DataError(problem, file=file, remedy=remedy)
