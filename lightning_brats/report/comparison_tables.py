"""A comparison's tables: ranking, summary, cost, sub-groups, and what was compared."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from lightning_brats.comparison.result import COSTS
from lightning_brats.report.comparison_layout import Strip, critical_diagram
from lightning_brats.report.comparison_shown import Part, Shown, better, p_value, percent
from lightning_brats.report.wording import amount, digits, duration, heading, number, plural

COST_NAMES = {
    "parameters": "Parameters",
    "gflops_per_patch": "GFLOPs per patch",
    "train_seconds": "Training time",
    "inference_seconds_per_case": "Inference per case",
    "peak_memory_mb": "Peak memory (MB)",
    "energy_kwh": "Energy (kWh)",
}
GROUP_NAMES = {"size": "Tumour size", "cohort": "Cohort", "grade": "Grade", "lesions": "Lesions"}


def ranking(shown: Shown) -> dict[str, Any] | None:
    """The BraTS ranking and its stability."""
    table = shown.found.ranking
    if table.empty:
        return None
    strip = Strip.around([*table["low"], *table["high"], *table["rank"]])
    rows = [
        {
            "place": place,
            "choice": shown.mark(str(row.choice)),
            "rank": number(row.rank, 2),
            "interval": _interval(row.low, row.high, 2),
            "bar": strip.bar(row.low, row.rank, row.high),
            "p": p_value(row.p_next),
            "first": percent(row.first_share),
            "share": 0 if math.isnan(row.first_share) else round(100 * row.first_share, 1),
        }
        for place, row in enumerate(table.itertuples(), 1)
    ]
    return {"rows": rows, "ticks": strip.ticks}


def critical(shown: Shown) -> dict[str, Any] | None:
    """The critical-difference diagram, where there are choices enough for one."""
    found = shown.found.critical
    if not found or len(found.get("ranks", ())) < 3:
        return None
    statistic, p = found.get("statistic"), found.get("p")
    facts = [
        *([f"Friedman χ² = {number(statistic, 1)}, p {_equals(p)}"] if p is not None else []),
        f"n = {plural(found['n'], 'patient')}",
        f"critical difference {number(found['cd'], 2)} (Nemenyi)",
    ]
    return critical_diagram(found, shown.choices) | {"facts": ", ".join(facts)}


def summary(shown: Shown) -> list[dict[str, Any]]:
    """One block a metric: a row a choice, a cell a region; the best is bold where that is shown."""
    blocks = []
    for metric in shown.metrics:
        columns = {region: _column(shown, (metric, region)) for region in shown.regions}
        rows = [
            {"choice": shown.mark(choice), "cells": [columns[r].get(choice) for r in columns]}
            for choice in shown.choices
        ]
        blocks.append({"title": heading(metric), "rows": rows})
    return blocks


def _column(shown: Shown, part: Part) -> dict[str, dict[str, Any]]:
    """Choice → its cell."""
    rows = shown.rows("summary", part).set_index("choice")
    order = better(part[0], rows["mean"])
    places = digits(part[0])
    return {
        str(choice): {
            "mean": number(row["mean"], places),
            "sd": number(row["sd_cases"], places),
            "interval": _interval(row["low"], row["high"], places),
            "median": number(row["median"], places),
            "quartiles": _interval(row["q25"], row["q75"], places),
            "seeds": number(row["sd_seeds"], places),
            "n": f"{plural(int(row['n_cases']), 'case')}, {plural(int(row['n_seeds']), 'seed')}",
            "best": str(choice) == order[0] if order else False,
            "shown": bool(order) and str(choice) == order[0] and _leads(shown, part, order),
        }
        for choice, row in rows.iterrows()
    }


def _leads(shown: Shown, part: Part, order: list[str]) -> bool:
    """Whether the best was told apart from the second best."""
    pairs = shown.rows("pairs", part)
    if len(order) < 2 or pairs.empty:
        return False
    leaders = set(order[:2])
    same = [{a, b} == leaders for a, b in zip(pairs["a"], pairs["b"], strict=True)]
    return bool(pairs.loc[same, "significant"].any())


def costs(shown: Shown) -> dict[str, Any] | None:
    """What each choice costs; columns that nothing is known of are left out."""
    table = shown.found.cost
    known = [name for name in COSTS if name in table and table[name].notna().any()]
    if not known:
        return None
    rows = []
    for choice in shown.choices:
        for _, row in table[table["choice"] == choice].iterrows():
            cells = [
                {
                    "text": cost_text(name, float(row[name])),
                    "front": bool(row.get(f"pareto_{name}", False)),
                }
                for name in known
            ]
            score = number(float(row["score"]), digits(shown.found.settings.main))
            rows.append({"choice": shown.mark(choice), "score": score, "cells": cells})
    names = [COST_NAMES[name] for name in known]
    return {"names": names, "rows": rows, "score": heading(shown.found.settings.main)}


def cost_text(name: str, value: float) -> str:
    """With a unit where the heading has none."""
    if math.isnan(value):
        return number(None)
    if name.endswith(("seconds", "seconds_per_case")):
        return f"{value:.3g} s" if value < 10 else duration(value)
    return amount(value) if name == "parameters" else f"{value:,.4g}"


def subgroups(shown: Shown) -> list[dict[str, Any]]:
    """Means by kind of case; one view a metric and region."""
    views = []
    for part in shown.parts:
        table = shown.rows("subgroups", part)
        if table.empty:
            continue
        rows = [
            _subgroup(shown, part[0], str(group), str(level), own)
            for (group, level), own in table.groupby(["group", "level"], sort=False)
        ]
        if rows:
            views.append(shown.view(part) | {"rows": rows})
    return views


def _subgroup(
    shown: Shown, metric: str, group: str, level: str, own: pd.DataFrame
) -> dict[str, Any]:
    found = own.set_index("choice")
    p = found.loc[found["best"].astype(bool), "p_holm"]
    p_best = float(p.iloc[0]) if len(p) else math.nan
    cells = [
        {
            "text": number(float(found["mean"].get(choice, math.nan)), digits(metric)),
            "best": bool(found["best"].get(choice, False)),
        }
        for choice in shown.choices
    ]
    return {
        "group": GROUP_NAMES.get(group, group.replace("_", " ").capitalize()),
        "level": level,
        "n": int(own["n"].max()),
        "cells": cells,
        "p": p_value(p_best),
        "shown": p_best < shown.found.settings.alpha,
    }


def members(shown: Shown) -> list[dict[str, Any]]:
    """Every run or score table that was compared."""
    ordered = sorted(shown.found.entries, key=lambda e: list(shown.choices).index(e.choice))
    return [
        {
            "choice": shown.mark(entry.choice),
            "name": entry.name,
            "seed": number(None) if entry.seed is None else str(entry.seed),
            "fold": number(None) if entry.fold is None else str(entry.fold),
            "cases": len(entry.test_cases),
            "folder": str(entry.folder),
        }
        for entry in ordered
        if entry.choice in shown.choices
    ]


def _interval(low: float, high: float, places: int) -> str:
    if math.isnan(low) or math.isnan(high):
        return ""
    return f"{number(low, places)} to {number(high, places)}"


def _equals(p: float) -> str:
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"
