"""Differences between choices: forest plots, what an undecided pair would need, variance."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from lightning_brats.metrics import METRICS
from lightning_brats.report.comparison_layout import Strip
from lightning_brats.report.comparison_shown import Part, Shown, p_value, percent, signed
from lightning_brats.report.wording import heading, number

MOST_PAIRS = 36
"""Rows of a forest plot; of more pairs, those with the best choice or the baseline are shown."""
COMPONENTS = {
    "case": ("cases", "#0072B2"),
    "choice": ("choices", "#D55E00"),
    "seed": ("seeds", "#E69F00"),
    "fold": ("folds", "#CC79A7"),
    "residual": ("rest", "#8D96A5"),
}
"""Source of variance → its name and colour, in the order of the bars."""


def forests(shown: Shown) -> list[dict[str, Any]]:
    """One forest plot a metric and region, its rows in the order of the choices."""
    views = []
    for part in shown.parts:
        rows = _kept(shown, shown.rows("pairs", part))
        if len(rows):
            views.append(shown.view(part) | _forest(shown, part[0], rows))
    return views


def left_out(shown: Shown) -> int:
    """Pairs that the forest plots leave out."""
    pairs = shown.found.pairs.drop_duplicates(["a", "b"])
    return len(pairs) - len(_kept(shown, pairs))


def _kept(shown: Shown, rows: pd.DataFrame) -> pd.DataFrame:
    if len(rows) <= MOST_PAIRS:
        return rows
    central = {shown.choices[0], shown.found.baseline}
    return rows[rows["a"].isin(central) | rows["b"].isin(central)]


def _forest(shown: Shown, metric: str, rows: pd.DataFrame) -> dict[str, Any]:
    bounds = [*rows["difference"], *rows["low"], *rows["high"]]
    strip = Strip.around(bounds, zero=True)
    sides = ("worse", "better")
    return {
        "zero": strip.place(0.0),
        "ticks": strip.ticks,
        "sides": sides if METRICS[metric].higher_is_better else sides[::-1],
        "rows": [
            {
                "a": shown.mark(str(row.a)),
                "b": shown.mark(str(row.b)),
                "bar": strip.bar(row.low, row.difference, row.high),
                "difference": signed(row.difference, metric),
                "interval": f"{signed(row.low, metric)} to {signed(row.high, metric)}",
                "p": p_value(row.p_holm),
                "wilcoxon": p_value(row.p_wilcoxon),
                "permutation": p_value(row.p_permutation),
                "seeds": p_value(getattr(row, "p_seeds", math.nan)),
                "effect": number(row.effect, 2),
                "wins": percent(row.p_better),
                "n": int(row.n),
                "significant": bool(row.significant),
                "winner": _winner(row.advantage) if row.significant else "",
            }
            for row in rows.itertuples()
        ],
    }


def _winner(advantage: float) -> str:
    return "a" if advantage > 0 else "b"


def variance(shown: Shown) -> dict[str, Any] | None:
    """Where the spread of the scores comes from: one bar a metric and region."""
    table = shown.found.variance
    if table.empty:
        return None
    bars: list[dict[str, Any]] = []
    for part in shown.parts:
        shares = shown.rows("variance", part).set_index("component")["share"].dropna()
        if shares.empty:
            continue
        pieces: list[dict[str, Any]] = [
            {
                "name": name,
                "colour": colour,
                "width": round(100 * float(shares[component]), 2),
                "text": _share(float(shares[component])),
            }
            for component, (name, colour) in COMPONENTS.items()
            if component in shares
        ]
        bars.append({"metric": heading(part[0]), "region": part[1], "pieces": pieces})
    used = {piece["name"] for bar in bars for piece in bar["pieces"]}
    legend = [pair for pair in COMPONENTS.values() if pair[0] in used]
    return {"bars": bars, "legend": legend} if bars else None


def _share(share: float) -> str:
    return "< 1 %" if 0 < share < 0.005 else percent(share)


def power(shown: Shown) -> list[dict[str, Any]]:
    """What a verdict on each pair would need; one view a metric and region."""
    views = []
    for part in shown.parts:
        pairs = shown.rows("pairs", part).set_index(["a", "b"])
        rows = [
            {
                "a": shown.mark(str(row.a)),
                "b": shown.mark(str(row.b)),
                "found": _found(pairs, row.a, row.b, part),
                "significant": bool(pairs["significant"].get((row.a, row.b), False)),
                "detectable": _amount(row.detectable, part),
                "cases": _count(row.cases_needed, 100_000),
                "seeds": _count(row.seeds_needed, 1_000),
            }
            for row in _kept(shown, shown.rows("power", part)).itertuples()
        ]
        if rows:
            views.append(shown.view(part) | {"rows": rows})
    return views


def _found(pairs: pd.DataFrame, a: Any, b: Any, part: Part) -> str:
    return signed(float(pairs["difference"].get((a, b), math.nan)), part[0])


def _amount(value: float, part: Part) -> str:
    if math.isinf(value) or (METRICS[part[0]].both_empty == 1 and value > 1):
        return "none"  # shares cannot differ by more than 1
    text = signed(abs(value), part[0]).removeprefix("+")
    return text if math.isnan(value) else f"± {text}"


def _count(value: float, most: int) -> str:
    """Whole numbers; one that cannot be reached is said to lie beyond what was tried."""
    if math.isnan(value):
        return number(None)
    return f"> {most:,}" if value > most else f"{math.ceil(value):,}"
