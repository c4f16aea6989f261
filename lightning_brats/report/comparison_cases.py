"""The explorer: every case's scores in every choice, and pictures of the telling ones."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from lightning_brats.data.case import Case
from lightning_brats.figures.comparison_slices import REFERENCE
from lightning_brats.figures.style import AGREEMENT, FALSE, MISSED
from lightning_brats.labels import REGION_NAMES
from lightning_brats.report.comparison_pictures import Drawn, Pictures, known_cases
from lightning_brats.report.comparison_shown import Shown, better
from lightning_brats.report.scores import HUGE
from lightning_brats.report.wording import digits, heading, number

EACH = 2
"""Cases pictured of each kind."""
ERRORS = (("in both", AGREEMENT), ("missed", MISSED), ("false", FALSE))


def explorer(shown: Shown, cases: Mapping[str, Case] | None) -> dict[str, Any]:
    """Scores of all cases, and pictures of some.

    Args:
        shown: The comparison.
        cases: By identifier; looked for in the runs' data sets when `None`.
    """
    roles = telling_cases(shown)
    problem = ""
    if cases is None:
        cases, problem = known_cases(shown.found.entries, roles)
    pictures = Pictures(shown, {name: cases[name] for name in roles if name in cases})
    drawn = [(name, found) for name in roles if (found := pictures.draw(name)) is not None]
    if not drawn and not problem:
        problem = "; ".join(pictures.problems[:3]) or "there are no masks of these cases"
    regions = dict.fromkeys(region for _, found in drawn for region in found.regions)
    return {
        "scores": _scores(shown, roles),
        "cases": _names(shown),
        "figures": [_figure(shown, name, roles[name], found) for name, found in drawn],
        "views": [(view.key, view.title) for view in drawn[0][1].views] if drawn else [],
        "regions": [(region, REGION_NAMES[region]) for region in regions],
        "errors": ERRORS,
        "problem": "" if drawn else problem,
        "problems": pictures.problems if drawn else [],
    }


def telling_cases(shown: Shown) -> dict[str, str]:
    """Case → why it is looked at: worst, most disputed and best by the main metric."""
    metric = shown.found.settings.main
    wide = shown.by_case.loc[metric].clip(-HUGE, HUGE)
    means = wide.groupby("case").mean().dropna(how="all")
    if means.empty:
        return {}
    order = better(metric, means.mean(axis=1))
    spread = means.max(axis=1) - means.min(axis=1)
    disputed = [str(c) for c in spread.sort_values(ascending=False, kind="stable").index]
    found: dict[str, str] = {}
    kinds = {"worst": order[::-1], "most disputed": disputed, "best": order}
    for role, names in kinds.items():
        fresh = [name for name in names if name not in found][:EACH]
        found |= dict.fromkeys(fresh, role)
    return found


def _names(shown: Shown) -> list[str]:
    """All cases, the worst by the main metric first."""
    metric = shown.found.settings.main
    means = shown.by_case.loc[metric].clip(-HUGE, HUGE).groupby("case").mean().mean(axis=1)
    order = better(metric, means)[::-1]
    return [*order, *sorted(set(map(str, means.index)) - set(order))]


def _scores(shown: Shown, roles: Mapping[str, str]) -> Markup:
    """What the page's script fills the table of a case with, as JSON."""
    parts = list(shown.parts)
    values: dict[str, list[list[str]]] = {}
    best: dict[str, list[int]] = {}
    tables = {part: shown.cases(part) for part in parts}
    for case in _names(shown):
        rows = [
            tables[part].loc[case]
            if case in tables[part].index
            else pd.Series(np.nan, shown.choices)
            for part in parts
        ]
        values[case] = [
            [
                number(float(row[choice]), digits(part[0]))
                for part, row in zip(parts, rows, strict=True)
            ]
            for choice in shown.choices
        ]
        best[case] = [_best(part[0], row, shown) for part, row in zip(parts, rows, strict=True)]
    content = {
        "columns": [[heading(metric), region] for metric, region in parts],
        "choices": [shown.mark(choice) for choice in shown.choices],
        "roles": roles,
        "values": values,
        "best": best,
    }
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    # No text in it can end the `<script>` that holds it.
    return Markup(text.replace("<", "\\u003c"))


def _best(metric: str, row: pd.Series, shown: Shown) -> int:
    """Place of the only best choice; −1 where several are equal or none is known."""
    order = better(metric, row)
    if not order or (len(order) > 1 and row[order[0]] == row[order[1]]):
        return -1
    return shown.choices.index(order[0])


def _figure(shown: Shown, name: str, role: str, drawn: Drawn) -> dict[str, Any]:
    """One case: a row of pictures a view."""
    captions = {REFERENCE: {"name": "reference", "mark": "", "colour": "", "note": ""}}
    for choice, entry in drawn.entries.items():
        captions[choice] = shown.mark(choice) | {"note": _note(shown, choice, name, entry.seed)}
    return {
        "case": name,
        "role": role,
        "views": [
            {
                "key": view.key,
                "title": view.title,
                "tiles": [
                    {"source": source, **captions[mask]}
                    for mask, source in view.pictures.items()
                    if not (mask == REFERENCE and view.key.startswith("errors"))
                ],
            }
            for view in drawn.views
        ],
    }


def _note(shown: Shown, choice: str, case: str, seed: int | None) -> str:
    """Scores of the main metric below a picture, and whose they are."""
    metric = shown.found.settings.main
    texts = []
    for region in shown.regions:
        table = shown.cases((metric, region))
        value = float(table[choice].get(case, math.nan)) if choice in table else math.nan
        texts.append(f"{region} {number(value, 2 if digits(metric) > 2 else 1)}")
    return ", ".join(texts) + ("" if seed is None else f"; seed {seed}")
