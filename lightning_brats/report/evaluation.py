"""The page of an evaluation: scores of anybody's masks, whether of one folder or of all folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning_brats.data.case import Case
from lightning_brats.evaluation.scoring import Evaluation
from lightning_brats.report import tables
from lightning_brats.report.cases import case_table, group_table
from lightning_brats.report.html import write_page
from lightning_brats.report.panels import Predicted, described, write_readable_panels
from lightning_brats.report.scores import HEADLINE_NAMES, Scored, shown_cases
from lightning_brats.report.sections import confidence_section, error_section, score_charts
from lightning_brats.report.wording import number, plural

PAGE = "evaluation.html"
Facts = Sequence[tuple[str, str]]
Lists = Sequence[tuple[str, str, Sequence[str]]]


@dataclass(frozen=True)
class Subject:
    """What was scored, and how its masks are found again for the pictures.

    Args:
        name: Heading of the page.
        facts: Name and value.
        lists: Title, explanation and names: missing cases, files left over and the like.
        cases: By identifier; none where there can be no pictures.
        predicted: Reads a case's prediction.
        notes: Case → what to say below its picture.
    """

    name: str
    facts: Facts
    lists: Lists = ()
    cases: Mapping[str, Case] = field(default_factory=dict)
    predicted: Predicted | None = None
    notes: Mapping[str, str] = field(default_factory=dict)


def write_evaluation(
    folder: Path, found: Evaluation, summary: Mapping[str, Any], subject: Subject
) -> Path:
    """Write `evaluation.html`, and `figures/*.png`, into a folder.

    Args:
        folder: Where they go.
        found: Scores and what else is known.
        summary: Contents of `summary.json`.
        subject: What was scored.

    Returns:
        The page, which loads nothing.
    """
    scored = Scored(found.scores, list(summary["regions"]), penalty=summary["penalty_mm"])
    figures = folder / "figures"
    panels = _panels(scored, subject, figures)
    grouped = [("By cohort", "cohort"), ("By fold", "fold")]
    kind = "lesion-wise and whole-volume" if scored.headline == "lesion_dice" else "whole-volume"
    context = {
        "name": subject.name,
        "protocol": summary["protocol"],
        "counts": f"{plural(summary['cases'], 'case')} of {plural(summary['patients'], 'patient')}",
        "missing": summary["missing"],
        "facts": [("Protocol", f"{summary['protocol']}, {kind}"), *subject.facts],
        "lists": subject.lists,
        "headline": HEADLINE_NAMES[scored.headline],
        "penalty": f"{summary['penalty_mm']:g}",
        "plain": not any(case.images for case in subject.cases.values()),
        "panels": panels,
        "verdict": tables.verdict(scored, _interval(summary, scored.headline)),
        "tiles": tables.tiles(scored),
        "strips": score_charts(scored, figures),
        "main_metrics": tables.interval_tables(scored, summary["regions"], main=True),
        "more_metrics": tables.interval_tables(scored, summary["regions"], main=False),
        "groups": [(t, g) for t, c in grouped if (g := group_table(scored, c)) is not None],
        "cases": case_table(scored, dict.fromkeys(summary["missing"], "no prediction")),
        "errors": error_section(found.errors, list(scored.regions), figures),
        "confidence": confidence_section(found.confidence, scored, figures),
    }
    return write_page(folder / PAGE, "evaluation.html.j2", context)


def _panels(scored: Scored, subject: Subject, figures: Path) -> list[dict[str, Any]]:
    if subject.predicted is None or not subject.cases:
        return []
    chosen = shown_cases(scored.table, scored.headline)
    panels = write_readable_panels(chosen, subject.cases, subject.predicted, figures, subject.notes)
    return [described(panel, scored) for panel in panels]


def _interval(summary: Mapping[str, Any], metric: str) -> str:
    found = summary["mean"].get(metric, {})
    if found.get("low") is None:
        return ""
    return f" (95 % interval {number(found['low'])} to {number(found['high'])})"
