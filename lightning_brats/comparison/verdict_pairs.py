"""Sentences about two choices: what is shown, what is not, what it costs, what it would take."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import pandas as pd

from lightning_brats.comparison.alignment import Aligned
from lightning_brats.comparison.settings import Settings
from lightning_brats.comparison.words import (
    COST_NAMES,
    is_share,
    listed,
    metric_name,
    number,
    p_text,
    percent,
    plural,
    unit,
)

COST_SAID = ("train_seconds", "inference_seconds_per_case", "parameters", "energy_kwh")
NOTABLE = 0.02
"""Relative difference of cost below which nothing is said."""


def about_pair(
    aligned: Aligned,
    settings: Settings,
    tables: Mapping[str, pd.DataFrame],
    reference: str,
    other: str,
) -> Iterator[str]:
    """What is shown of two choices, what is not, and what that costs.

    Args:
        aligned: Their runs.
        settings: Metrics, the main one first.
        tables: `pairs`, `power` and `cost`.
        reference: One choice; it is the subject unless it is the one that loses.
        other: The other.
    """
    rows = _seen_from(tables["pairs"], reference, other)
    shown = rows[rows["significant"]]
    main = shown[shown["metric"] == settings.main]
    subject = reference
    if len(shown) and (main if len(main) else shown)["advantage"].mean() < 0:
        subject, other = other, reference
        rows = _seen_from(tables["pairs"], subject, other)
    claims, others = [], []
    for metric in settings.metrics:
        own = rows[rows["metric"] == metric]
        for ahead, verb in ((True, "beats"), (False, "loses to")):
            claimed = own[own["significant"] & ((own["advantage"] > 0) == ahead)]
            if len(claimed):
                claims.append(f"{verb} {other} on {listed([_claim(r) for r in each(claimed)])}")
        if len(own) and not own["significant"].any():
            others.append(f"no difference shown in {metric_name(metric)}")
        elif not own["significant"].all():
            rest = listed(list(own[~own["significant"]]["region"]))
            others.append(f"no difference in {metric_name(metric)} shown on {rest}")
    cost = _cost(tables["cost"], subject, other)
    if not shown.empty:
        yield f"{subject} {'; '.join([*claims, *others, *cost])}."
    else:
        metrics = listed([metric_name(m) for m in settings.metrics], "or")
        costs = f"; {subject} {cost[0]}" if cost else ""
        yield f"No difference in {metrics} is shown between {subject} and {other}{costs}."
    yield from _missing(aligned, settings, tables["power"], rows)


def _seen_from(pairs: pd.DataFrame, subject: str, other: str) -> pd.DataFrame:
    """The rows of two choices, all signs as the subject's."""
    rows = pairs[pairs[["a", "b"]].isin({subject, other}).all(axis=1)].copy()
    turned = rows["a"] != subject
    rows.loc[turned, ["difference", "advantage"]] *= -1
    rows.loc[turned, ["low", "high"]] = -rows.loc[turned, ["high", "low"]].to_numpy()
    return rows


def _claim(row: pd.Series) -> str:
    """`ET by 0.031 Dice [0.012, 0.050], p = .004`."""
    metric = row["metric"]
    sign = 1 if row["difference"] > 0 else -1  # as seen by whoever is better
    low, high = sorted((sign * row["low"], sign * row["high"]))
    size = number(abs(row["difference"]), metric)
    interval = f"[{number(low, metric)}, {number(high, metric)}]"
    return f"{row['region']} by {size}{unit(metric)} {interval}, {p_text(row['p_holm'])}"


def each(rows: pd.DataFrame) -> Iterator[pd.Series]:
    """The rows of a table."""
    return (row for _, row in rows.iterrows())


def _cost(costs: pd.DataFrame, subject: str, other: str) -> list[str]:
    """`costs 11 % more training time`, for what differs from run to run by less than that."""
    if costs.empty:
        return []
    table = costs.set_index("choice")
    said: dict[bool, list[str]] = {True: [], False: []}
    for name in COST_SAID:
        own, others = table.loc[subject, name], table.loc[other, name]
        apart = any(
            table.loc[one, f"least_{name}"] > table.loc[two, f"most_{name}"]
            for one, two in ((subject, other), (other, subject))
        )
        if others > 0 and apart and abs(own / others - 1) >= NOTABLE:
            more = bool(own > others)
            said[more].append(f"{_ratio(own / others)} {COST_NAMES[name]}")
    return [f"costs {listed(parts)}" for parts in said.values() if parts][:2]


def _ratio(ratio: float) -> str:
    if ratio >= 2:
        return f"{ratio:.1f} times the"
    return f"{100 * abs(ratio - 1):.0f} % {'more' if ratio > 1 else 'less'}"


def _missing(
    aligned: Aligned, settings: Settings, power: pd.DataFrame, rows: pd.DataFrame
) -> Iterator[str]:
    """What would have been shown of the main metric, and what it takes to show what was seen."""
    open_rows = rows[~rows["significant"] & (rows["metric"] == settings.main)]
    if open_rows.empty:
        return
    merged = open_rows.merge(power, on=["a", "b", "region", "metric"])
    if merged["detectable"].isna().all():
        yield f"{listed(list(open_rows['region']))}: too few patients for any test."
        return
    if not merged["detectable"].map(math.isfinite).any():
        return  # said once for all pairs
    parts = [
        f"{row['region']} {_detectable(row, settings.main)}{_needed(row, aligned)}"
        for row in each(merged)
    ]
    one = "" if aligned.seeds > 1 else ", another seed left aside"
    yield (
        f"What would have been shown in {percent(settings.power)} of such comparisons of "
        f"{plural(int(merged['n'].max()), 'patient')}{one}: differences in "
        f"{metric_name(settings.main)} from {'; '.join(parts)}."
    )


def _detectable(row: pd.Series, metric: str) -> str:
    """`0.031`, or that nothing possible is large enough."""
    size = row["detectable"]
    if is_share(metric) and size > 1:
        return "none: seeds differ too much"
    return number(size, metric)


def _needed(row: pd.Series, aligned: Aligned) -> str:
    """` (seen: 0.010, which takes about 60 patients or 5 seeds each)`."""
    seen = f"seen: {number(abs(row['difference']), row['metric'])}"
    if row["cases_needed"] <= row["n"]:
        return f" ({seen})"
    ways = []
    if math.isfinite(row["cases_needed"]):
        ways.append(f"about {plural(int(row['cases_needed']), 'patient')}")
    if math.isfinite(row["seeds_needed"]):
        ways.append(f"{plural(int(row['seeds_needed']), 'seed')} each")
    if not ways:
        return f" ({seen}, which takes more patients and more seeds)"
    return f" ({seen}, which takes {' or '.join(ways)})"
