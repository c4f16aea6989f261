"""What the settings that differ did: heat maps of grids, importance, parallel coordinates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import MeanDecreaseImpurityImportanceEvaluator, get_param_importances

from lightning_brats.comparison.choices import factors
from lightning_brats.comparison.entry import Entry
from lightning_brats.figures.comparison_parallel import parallel
from lightning_brats.metrics import METRICS
from lightning_brats.report.comparison_shown import Shown, better, p_value, percent
from lightning_brats.report.html import as_json
from lightning_brats.report.wording import digits, heading, number

ENOUGH = 10
"""Runs from which on the importance of settings is estimated."""
MOST = 12
"""Settings drawn side by side."""


def grids(shown: Shown) -> list[dict[str, Any]]:
    """Means over the levels of two settings whose every combination was run."""
    table = shown.found.interactions
    if table.empty:
        return []
    known = {entry.choice: entry.settings for entry in reversed(shown.found.entries)}
    first = {choice: known[choice] for choice in shown.choices}
    levels = dict(zip(first, factors(list(first.values())), strict=True))
    found = []
    for a, b in table[["factor_a", "factor_b"]].drop_duplicates().itertuples(index=False):
        own = table[(table["factor_a"] == a) & (table["factor_b"] == b)]
        views = [_grid(shown, part, (a, b), levels, own) for part in shown.parts]
        found.append({"a": a, "b": b, "views": views})
    return found


def _grid(
    shown: Shown,
    part: tuple[str, str],
    names: tuple[str, str],
    levels: Mapping[str, Mapping[str, str]],
    tests: pd.DataFrame,
) -> dict[str, Any]:
    means = shown.rows("summary", part).set_index("choice")["mean"]
    cells: dict[tuple[str, str], list[float]] = {}
    for choice, own in levels.items():
        if choice in means.index:
            cells.setdefault((own[names[0]], own[names[1]]), []).append(float(means[choice]))
    values = pd.Series({pair: float(np.mean(found)) for pair, found in cells.items()})
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
    order = better(part[0], pd.Series({i: v for i, v in enumerate(values)}))
    best = values.index[int(order[0])] if order else None

    def cell(row: str, column: str) -> dict[str, Any]:
        value = float(values.get((row, column), math.nan))
        share = (value - low) / (high - low) if high > low and math.isfinite(value) else 0.0
        goodness = share if METRICS[part[0]].higher_is_better else 1 - share
        text = number(value, digits(part[0]))
        return {"text": text, "share": round(100 * goodness), "best": (row, column) == best}

    rows = list(dict.fromkeys(pair[0] for pair in cells))
    columns = list(dict.fromkeys(pair[1] for pair in cells))
    test = tests[(tests["metric"] == part[0]) & (tests["region"] == part[1])]
    said = [
        f"Interaction: F = {number(row.f, 2)}, p = {p_value(row.p)}".replace("= <", "<")
        + f"; {percent(row.share)} of the differences between cells."
        for row in test.itertuples()
    ]
    return shown.view(part) | {
        "columns": columns,
        "rows": [{"name": row, "cells": [cell(row, column) for column in columns]} for row in rows],
        "test": " ".join(said),
    }


def hyperparameters(shown: Shown) -> dict[str, Any] | None:
    """Parallel coordinates of all runs, and how much each setting matters where runs suffice.

    `None` where fewer than two settings differ.
    """
    metric = shown.found.settings.main
    scored = [(entry, _score(entry, shown)) for entry in shown.found.entries if entry.settings]
    scored = [(entry, score) for entry, score in scored if math.isfinite(score)]
    if len(scored) < 3:
        return None
    entries, scores = [entry for entry, _ in scored], [score for _, score in scored]
    columns = setting_columns(entries)
    if len(columns) < 2:
        return None
    label = f"mean {heading(metric)}"
    drawn = dict(list(columns.items())[:MOST])
    shares = importance(columns, scores) if len(scores) >= ENOUGH else {}
    return {
        "figure": as_json(parallel(drawn, scores, label)),
        "runs": len(scores),
        "label": label,
        "importance": [
            {"name": name, "share": round(100 * share, 1), "text": percent(share)}
            for name, share in shares.items()
        ],
    }


def setting_columns(entries: Sequence[Entry]) -> dict[str, list[Any]]:
    """Setting → one value an entry, numbers as such; of the settings that all entries have."""
    levels = factors([entry.settings for entry in entries])
    names = dict.fromkeys(name for own in levels for name in own)
    columns: dict[str, list[Any]] = {}
    for name in names:
        if not all(name in own for own in levels):
            continue  # hangs on another setting, so that it says nothing about the rest
        raw = [entry.settings.get(name) for entry in entries]
        numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in raw)
        columns[name] = raw if numeric else [own[name] for own in levels]
    return columns


def importance(columns: Mapping[str, Sequence[Any]], scores: Sequence[float]) -> dict[str, float]:
    """Share of the variance of scores that each setting explains, largest first.

    Mean decrease of impurity in a random forest (Breiman, Machine Learning 45:5, 2001), by Optuna.
    Its functional analysis of variance takes hours where a setting has dozens of levels.

    Args:
        columns: Setting → one value a run; two levels or more each.
        scores: Finite, one a run.
    """
    if np.ptp(scores) == 0:
        return {}
    kinds = {name: _distribution(values) for name, values in columns.items()}
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(direction="maximize")
        for place, score in enumerate(scores):
            params = {name: values[place] for name, values in columns.items()}
            trial = optuna.create_trial(params=params, distributions=kinds, value=score)
            study.add_trial(trial)
        evaluator = MeanDecreaseImpurityImportanceEvaluator(seed=0)
        found = get_param_importances(study, evaluator=evaluator)
    finally:
        optuna.logging.set_verbosity(before)
    return {name: float(share) for name, share in found.items()}


def _distribution(values: Sequence[Any]) -> BaseDistribution:
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        low, high = float(min(values)), float(max(values))
        return FloatDistribution(low, high, log=low > 0 and high / low >= 20)
    return CategoricalDistribution(sorted(set(values)))


def _score(entry: Entry, shown: Shown) -> float:
    """Mean over cases and regions of the main metric, infinite values left out."""
    table = entry.scores
    own = table[
        (table["metric"] == shown.found.settings.main) & table["region"].isin(shown.regions)
    ]
    values = own["value"].to_numpy(float)
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else math.nan
