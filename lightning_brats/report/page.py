"""The report of a run: one HTML file that needs no network, and its pictures as PNG."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from lightning_brats.data.case import Case
from lightning_brats.figures.interactive import dice_curve, loss_curve, score_strip
from lightning_brats.figures.plots import validated_regions
from lightning_brats.figures.style import REGION_COLOURS
from lightning_brats.report import facts, tables
from lightning_brats.report.panels import Panel, write_panels, write_stills
from lightning_brats.report.run import Run, read_run
from lightning_brats.report.scores import case_rows
from lightning_brats.report.wording import number

ROLES = {
    "best": "Best case",
    "median": "Median case",
    "worst": "Worst case",
    "only": "The only test case",
}


def write_report(run: Path, cases: Mapping[str, Case]) -> Path:
    """Write `report.html`, and `figures/*.png`, into a finished run's folder.

    The page is self-contained: it loads nothing, so it can be mailed, archived and read offline.

    Args:
        run: The folder, with `config.yaml`, `environment.json`, `split.json`, `metrics.csv`,
            `evaluation.csv`, `summary.json` and `predictions/`.
        cases: The test cases by identifier, for the pictures.

    Returns:
        The page.

    Raises:
        DataError: A required file is missing or damaged; it is named.
    """
    found = read_run(run)
    panels = write_panels(found, cases)
    stills = write_stills(found)
    environment = Environment(
        loader=PackageLoader("lightning_brats"), autoescape=True, undefined=StrictUndefined
    )
    page = environment.get_template("report.html.j2").render(
        **_context(found, cases),
        panels=[_panel(found, panel) for panel in panels],
        stills={name: _embedded(png) for name, png in stills.items()},
        plotly=Markup(get_plotlyjs()),
    )
    path = run / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _context(run: Run, cases: Mapping[str, Case]) -> dict[str, Any]:
    return {
        "model": run.summary["model"],
        "data": run.summary["data"],
        "date": run.date,
        "phantom": bool(run.summary.get("phantom", False)),
        "regions": run.regions,
        "colours": REGION_COLOURS,
        "verdict": tables.verdict(run),
        "tiles": tables.tiles(run),
        "main_metrics": tables.spread_tables(run, main=True),
        "more_metrics": tables.spread_tables(run, main=False),
        "cases": tables.case_table(run),
        "several_cohorts": run.scores["cohort"].nunique() > 1,
        "charts": _charts(run),
        "cost": facts.cost(run),
        "command": run.environment.get("command", "not recorded"),
        "settings": facts.settings(run),
        "config_text": (run.path / "config.yaml").read_text(encoding="utf-8"),
        "split": run.split_sizes(),
        "data_facts": facts.data(run, cases),
        "environment": facts.environment(run),
    }


def _charts(run: Run) -> dict[str, Markup | None]:
    best = run.summary.get("best_epoch")
    distances = run.scores[run.scores["metric"] == "hd95"]["value"]
    return {
        "loss": _json(loss_curve(run.history)),
        "validation": _json(dice_curve(run.history, best))
        if validated_regions(run.history)
        else None,
        "dice": _json(score_strip(run.scores, run.regions, "dice")),
        "hd95": _json(score_strip(run.scores, run.regions, "hd95"))
        if distances.abs().lt(float("inf")).any()
        else None,
    }


def _panel(run: Run, panel: Panel) -> dict[str, Any]:
    row = next(row for row in case_rows(run.scores, run.regions) if row["case"] == panel.shown.case)
    dice, hd95 = (
        ", ".join(f"{r} {number(v, d)}" for r, v in zip(run.regions, row[metric], strict=True))
        for metric, d in (("dice", 3), ("hd95", 1))
    )
    return {
        "role": ROLES[panel.shown.role],
        "caption": f"{panel.shown.case}. Dice {dice}. HD95 in mm {hd95}.",
        "alt": f"Slices of {panel.shown.case} with reference and prediction as contours, "
        "and close-ups of the voxels missed or false",
        "png": _embedded(panel.png),
        "width": panel.size[0],
        "height": panel.size[1],
    }


def _embedded(png: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(png.read_bytes()).decode()


def _json(figure: go.Figure) -> Markup:
    """A figure as JSON; Plotly spells `<` as a code, so no text in it can end the `<script>`."""
    return Markup(figure.to_json())
