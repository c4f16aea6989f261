"""The report of a run: one HTML file that needs no network, and its pictures as PNG."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lightning_brats.data.case import Case, Volume
from lightning_brats.data.reading import read_mask
from lightning_brats.errors import DataError
from lightning_brats.figures import save_png
from lightning_brats.figures.interactive import dice_curve, loss_curve
from lightning_brats.figures.plots import learning_curves, validated_regions
from lightning_brats.report import facts, tables
from lightning_brats.report.cases import case_table, group_table
from lightning_brats.report.html import as_json, embedded, write_page
from lightning_brats.report.panels import described, write_panel
from lightning_brats.report.run import Run, read_run
from lightning_brats.report.scores import Scored, shown_cases
from lightning_brats.report.sections import (
    DPI,
    confidence_section,
    error_section,
    score_charts,
)


def write_report(run: Path, cases: Mapping[str, Case]) -> Path:
    """Write `report.html`, and `figures/*.png`, into a finished run's folder.

    The page is self-contained: it loads nothing, so it can be mailed, archived and read offline.

    Args:
        run: The folder, with `config.yaml`, `environment.json`, `split.json`, `metrics.csv`,
            `evaluation.csv`, `summary.json` and `predictions/`; what it has of `errors*.csv`,
            `predicted_dice.csv` and `calibration.csv` is shown too.
        cases: The test cases by identifier, for the pictures.

    Returns:
        The page.

    Raises:
        DataError: A required file is missing or damaged; it is named.
    """
    found = read_run(run)
    scored = Scored(found.scores, found.regions, "test case")
    return write_page(
        run / "report.html",
        "report.html.j2",
        {
            **_about(found, cases),
            **_results(found, scored),
            "panels": _panels(found, scored, cases),
            "charts": _curves(found),
        },
    )


def _about(run: Run, cases: Mapping[str, Case]) -> dict[str, Any]:
    """What was run, on what, and what it took."""
    return {
        "model": run.summary["model"],
        "data": run.summary["data"],
        "date": run.date,
        "phantom": bool(run.summary.get("phantom", False)),
        "tuned": facts.tuned(run),
        "cost": facts.cost(run),
        "command": run.environment.get("command", "not recorded"),
        "settings": facts.settings(run),
        "config_text": (run.path / "config.yaml").read_text(encoding="utf-8"),
        "split": run.split_sizes(),
        "data_facts": facts.data(run, cases),
        "excluded": facts.excluded(run),
        "environment": facts.environment(run),
    }


def _results(run: Run, scored: Scored) -> dict[str, Any]:
    """Scores, errors and confidence."""
    figures = run.path / "figures"
    return {
        "verdict": tables.verdict(scored),
        "tiles": tables.tiles(scored),
        "strips": score_charts(scored, figures),
        "main_metrics": tables.spread_tables(scored, main=True),
        "more_metrics": tables.spread_tables(scored, main=False),
        "cohorts": group_table(scored, "cohort"),
        "cases": case_table(scored),
        "errors": error_section(run.errors, run.regions, figures),
        "confidence": confidence_section(run.confidence, scored, figures),
    }


def _curves(run: Run) -> dict[str, Any]:
    """Training over epochs."""
    best = run.summary.get("best_epoch")
    validated = validated_regions(run.history)
    still = save_png(learning_curves(run.history), run.path / "figures/learning_curves.png", DPI)
    return {
        "loss": as_json(loss_curve(run.history)),
        "validation": as_json(dice_curve(run.history, best)) if validated else None,
        "still": embedded(still),
    }


def _panels(run: Run, scored: Scored, cases: Mapping[str, Case]) -> list[dict[str, Any]]:
    """Pictures of the best, median and worst case."""

    def predicted(case: Case, volume: Volume) -> np.ndarray:
        path = run.prediction(case.case)
        labels, _ = read_mask(path, case.scheme, case.case)
        if labels.shape != volume.image.shape[1:]:
            raise DataError(
                f"the prediction has shape {labels.shape}, the image {volume.image.shape[1:]}",
                case=case.case,
                file=path,
                remedy="predict the case again",
            )
        return labels

    panels = []
    for shown in shown_cases(run.scores):
        case = cases.get(shown.case)
        if case is None:
            raise DataError(
                "the case was scored but is not among the cases given",
                case=shown.case,
                file=run.path / "evaluation.csv",
                remedy="report the run with the data set it was tested on",
            )
        panel = write_panel(shown, case, predicted, run.path / "figures")
        panels.append(described(panel, scored))
    return panels
