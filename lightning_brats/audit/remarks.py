"""What is worth knowing of the data set as a whole, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_brats.audit.flags import Flag
from lightning_brats.audit.rows import Findings
from lightning_brats.data.duplicates import Twin, joined_patients
from lightning_brats.errors import DataError
from lightning_brats.labels import REGION_NAMES
from lightning_brats.report.wording import listed, plural

FEW = 5
"""Labelled cases below which a tissue may be missing by chance."""


def verdict(
    found: Findings, flags: Sequence[Flag], twins: Sequence[Twin], excluded: Sequence[DataError]
) -> str:
    """The audit in two or three sentences."""
    table = found.table
    if table.empty:
        return f"No case can be used; {plural(len(excluded), 'case')} had to be left out."
    cases, patients = len(table), int(table["patient"].nunique())
    cohorts = len(found.cohorts)
    text = plural(cases, "case")
    if patients != cases:
        text += f" of {plural(patients, 'patient')}"
    text += f" from {plural(cohorts, 'cohort')}" if cohorts > 1 else ""
    text += " can be used" + (f"; {len(excluded)} had to be left out." if excluded else ".")
    look = len({flag.case for flag in flags if flag.look})
    if look:
        verb = "deserves" if look == 1 else "deserve"
        text += f" {plural(look, 'case')} {verb} a look."
    else:
        text += " No case looks suspicious."
    pairs = sum(not twin.same_patient for twin in twins)
    if pairs:
        verb = "has" if pairs == 1 else "have"
        text += f" {plural(pairs, 'pair')} of different patients {verb} near-identical images."
    return text


def remarks(found: Findings, twins: Sequence[Twin]) -> list[str]:
    """One sentence each."""
    table = found.table
    if table.empty:
        return []
    found_remarks = [
        *_labels(found),
        _varied(found, "orientation", "stored orientations", "each case is turned on reading"),
        _varied(found, "modalities", "sets of modalities", "a network takes one set"),
        _joined(found, twins),
    ]
    unlabelled = int((~table["labelled"].astype(bool)).sum())
    if unlabelled:
        found_remarks.append(f"{plural(unlabelled, 'case')} without a mask: only to be predicted.")
    synthetic = int(table["synthetic"].sum())
    if synthetic:
        found_remarks.append(f"{plural(synthetic, 'synthetic case')}: trained on, never scored.")
    return [remark for remark in found_remarks if remark]


def _labels(found: Findings) -> list[str]:
    texts = []
    labelled = found.table[found.table["labelled"].astype(bool)]
    for cohort, own in labelled.groupby("cohort"):
        if len(own) < FEW:
            continue
        coded = {part.split()[1] for text in own["coding"].unique() for part in text.split(", ")}
        absent = [t for t in REGION_NAMES if t in coded and not (own[f"{t}_ml"] > 0).any()]
        if absent:
            texts.append(
                f"No mask of {_named(cohort)} has {listed(absent)}, though its label coding does: "
                "check the coding (data.labels)."
            )
    meanings: dict[str, set[str]] = {}
    for text in labelled["coding"].unique():
        for part in text.split(", "):
            value, tissue = part.split()
            meanings.setdefault(value, set()).add(tissue)
    for value, tissues in sorted(meanings.items()):
        if len(tissues) > 1:
            texts.append(
                f"Label {value} means {' and '.join(sorted(tissues))} in different cohorts' files; "
                "here each is read by its own coding."
            )
    return texts


def _varied(found: Findings, column: str, what: str, consequence: str) -> str:
    counts = found.table[column].value_counts()
    if len(counts) < 2:
        return ""
    several = ", ".join(f"{value} ({n})" for value, n in counts.head(6).items())
    return f"{len(counts)} {what}: {several}; {consequence}."


def _joined(found: Findings, twins: Sequence[Twin]) -> str:
    pairs = [twin for twin in twins if not twin.same_patient]
    if not pairs:
        return ""
    patients = dict(zip(found.table["case"], found.table["patient"], strict=True))
    joined = joined_patients(patients, pairs)
    moved = {patients[case] for case in patients if joined[case] != patients[case]}
    people = len(moved) + len({joined[case] for case in patients if patients[case] in moved})
    return (
        f"{plural(people, 'patient')} share examinations under different names; splits keep each "
        "group on one side (split.duplicates=ignore treats them as different people)."
    )


def _named(cohort: str) -> str:
    return f"cohort {cohort}" if cohort else "the data set"
