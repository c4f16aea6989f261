"""The page of a comparison: which choice is better, by how much, how sure, and at what cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lightning_brats.comparison.result import COSTS, Comparison
from lightning_brats.data.case import Case
from lightning_brats.figures.comparison_charts import pareto
from lightning_brats.figures.comparison_distribution import POINTS, distribution
from lightning_brats.report import comparison_pairs as pairs
from lightning_brats.report import comparison_tables as tables
from lightning_brats.report.comparison_cases import explorer
from lightning_brats.report.comparison_curves import curves
from lightning_brats.report.comparison_settings import grids, hyperparameters
from lightning_brats.report.comparison_shown import Shown
from lightning_brats.report.html import as_json, write_page
from lightning_brats.report.wording import heading, listed, plural

PAGE = "compare.html"
VERDICTS = 5
"""Sentences at the top; the others on demand."""


def write_comparison(
    folder: Path, comparison: Comparison, cases: Mapping[str, Case] | None = None
) -> Path:
    """Write `compare.html` into a folder, which is made when missing.

    The page is self-contained: it loads nothing, so it can be mailed, archived and read offline.
    What there is nothing to say about is left out.

    Args:
        folder: Where it goes.
        comparison: What was found.
        cases: By identifier, for the pictures; looked for in the runs' data sets when `None`.

    Returns:
        The page.
    """
    shown = Shown(comparison)
    folder.mkdir(parents=True, exist_ok=True)
    return write_page(
        folder / PAGE,
        "comparison.html.j2",
        {
            **_about(shown),
            "axes": shown.axes,
            "ranking": tables.ranking(shown),
            "critical": tables.critical(shown),
            "summary": tables.summary(shown),
            "forests": pairs.forests(shown),
            "pairs_left": pairs.left_out(shown),
            "distributions": list(_distributions(shown)),
            "lines": _has_lines(shown),
            "grids": grids(shown),
            **curves(shown),
            "costs": tables.costs(shown),
            "fronts": list(_fronts(shown)),
            "variance": pairs.variance(shown),
            "power": pairs.power(shown),
            "subgroups": tables.subgroups(shown),
            "hyperparameters": hyperparameters(shown),
            "explorer": explorer(shown, cases),
            "members": tables.members(shown),
        },
    )


def _about(shown: Shown) -> dict[str, Any]:
    """Verdicts, warnings, notes, and how much was compared."""
    found = shown.found
    seeds = found.scores.groupby("choice")["seed"].nunique()
    folds = found.scores["fold"].nunique()
    patients, cases = found.scores["patient"].nunique(), found.scores["case"].nunique()
    people = "" if patients == cases else f" of {plural(patients, 'patient')}"
    low, high = int(seeds.min()), int(seeds.max())
    counts = [
        *([plural(low, "seed") if low == high else f"{low} to {high} seeds"] if high else []),
        *([plural(folds, "fold")] if folds > 1 else []),
        plural(cases, "case") + people,
    ]
    settings = found.settings
    return {
        "title": listed(shown.choices)
        if len(shown.choices) <= 3
        else f"{len(shown.choices)} choices compared",
        "choices": [shown.mark(choice) for choice in shown.choices],
        "baseline": found.baseline,
        "counts": counts,
        "verdicts": found.verdicts[:VERDICTS],
        "more_verdicts": found.verdicts[VERDICTS:],
        "warnings": found.warnings,
        "notes": found.notes,
        "phantom": any(entry.facts.get("phantom") for entry in found.entries)
        and not any("phantom" in text for text in found.warnings),
        "alpha": f"{settings.alpha:g}",
        "power_wanted": f"{100 * settings.power:g} %",
        "resamples": f"{settings.resamples:,}",
        "main_metric": heading(settings.main),
    }


def _distributions(shown: Shown) -> Iterator[dict[str, Any]]:
    for part in shown.parts:
        table = shown.cases(part)
        if len(table) and np.isfinite(table.to_numpy(float)).any():
            figure = distribution(table, part[0], shown.looks)
            yield shown.view(part) | {"figure": as_json(figure)}


def _has_lines(shown: Shown) -> bool:
    """Whether cases are few enough to be drawn one by one."""
    return any(0 < shown.cases(part).size <= POINTS for part in shown.parts)


def _fronts(shown: Shown) -> Iterator[dict[str, Any]]:
    """Quality over each cost that at least two choices are known to have."""
    table = shown.found.cost
    score = f"mean {heading(shown.found.settings.main)}"
    for name in (cost for cost in COSTS if cost in table):
        known = table[np.isfinite(table[name]) & np.isfinite(table["score"])]
        if len(known) < 2 or known[name].nunique() < 2:
            continue
        front = known.get(f"pareto_{name}", False)
        points = known.assign(cost=known[name], front=front)[["choice", "cost", "score", "front"]]
        title = tables.COST_NAMES[name] + (" (s)" if "seconds" in name else "")
        figure = pareto(points, (title, score), shown.looks)
        yield {
            "chosen": {"cost": name},
            "label": tables.COST_NAMES[name],
            "title": f"Mean {heading(shown.found.settings.main)} over {_lower(title)}",
            "figure": as_json(figure),
        }


def _lower(title: str) -> str:
    """A heading inside a sentence: `Training time` → `training time`, GFLOPs as they are."""
    return title[0].lower() + title[1:] if title[1].islower() else title
