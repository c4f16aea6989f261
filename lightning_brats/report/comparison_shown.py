"""What all parts of a comparison's page share: what is shown, in which order, and how it reads."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from lightning_brats.comparison.result import Comparison
from lightning_brats.figures.comparison_style import Look, looks
from lightning_brats.labels import REGIONS
from lightning_brats.metrics import METRICS
from lightning_brats.report.scores import HUGE
from lightning_brats.report.wording import digits, heading, number

Part = tuple[str, str]
"""Metric and region."""


class Shown:
    """A comparison as its page shows it.

    Args:
        found: The comparison.
    """

    def __init__(self, found: Comparison) -> None:
        self.found = found
        self.choices = found.choices
        self.looks: dict[str, Look] = looks(found.choices)
        measured, regions = set(found.scores["metric"]), set(found.scores["region"])
        self.metrics = [metric for metric in found.settings.metrics if metric in measured]
        self.regions = [region for region in REGIONS if region in regions]

    @property
    def parts(self) -> Iterator[Part]:
        """Every metric and region."""
        return ((metric, region) for metric in self.metrics for region in self.regions)

    @property
    def axes(self) -> list[dict[str, Any]]:
        """What a reader can choose between in a view of one metric and region."""
        return [
            {"name": "metric", "label": "Metric", "options": self.named(self.metrics)},
            {
                "name": "region",
                "label": "Region",
                "options": [(region, region) for region in self.regions],
            },
        ]

    @staticmethod
    def named(metrics: list[str]) -> list[tuple[str, str]]:
        """Metrics with their headings."""
        return [(metric, heading(metric)) for metric in metrics]

    def view(self, part: Part) -> dict[str, Any]:
        """What a view of a metric and region is chosen by, and its heading."""
        metric, region = part
        title = f"{heading(metric)} of {region}"
        return {"chosen": {"metric": metric, "region": region}, "title": title}

    def mark(self, choice: str) -> dict[str, str]:
        """A choice's name with its symbol."""
        look = self.looks[choice]
        return {"name": choice, "mark": look.mark, "colour": look.colour}

    @cached_property
    def by_case(self) -> pd.DataFrame:
        """Mean over runs: index metric, region, case; one column a choice, the best first.

        As measured: where the comparison counts an infinite distance as a penalty, here it is
        infinite, so that nobody takes the penalty for a distance.
        """
        runs = [entry.scores.assign(choice=entry.choice) for entry in self.found.entries]
        rows = pd.concat(runs)
        kept = rows[
            rows["metric"].isin(self.metrics)
            & rows["region"].isin(self.regions)
            & rows["case"].isin(set(self.found.scores["case"]))
        ]
        wide = kept.pivot_table("value", ["metric", "region", "case"], "choice", aggfunc=_mean)
        return wide.reindex(columns=list(self.choices))

    def cases(self, part: Part) -> pd.DataFrame:
        """One row a case, one column a choice."""
        known = self.by_case.index.droplevel("case")
        return self.by_case.loc[part] if part in known else self.by_case.iloc[:0]

    def rows(self, frame: str, part: Part) -> pd.DataFrame:
        """A table's rows of one metric and region."""
        table: pd.DataFrame = getattr(self.found, frame)
        if table.empty:
            return table
        return table[(table["metric"] == part[0]) & (table["region"] == part[1])]


def _mean(values: pd.Series) -> float:
    return float(np.mean(values.to_numpy(float)))


def better(metric: str, values: pd.Series) -> list[str]:
    """Index of the values from best to worst; unknown ones left out."""
    ranked = values.dropna().clip(-HUGE, HUGE)
    ascending = not METRICS[metric].higher_is_better
    return [str(name) for name in ranked.sort_values(ascending=ascending, kind="stable").index]


def p_value(p: float) -> str:
    """As papers print it."""
    if math.isnan(p):
        return number(None)
    return "< 0.001" if p < 0.001 else number(p, 3 if p < 0.1 else 2)


def signed(value: float, metric: str) -> str:
    """A difference with its sign; one decimal more than the metric's where that is coarse."""
    text = number(value, max(digits(metric), 2))
    return f"+{text}" if value > 0 else text


def percent(share: float) -> str:
    """A share in whole percent."""
    return number(None) if math.isnan(share) else f"{100 * share:.0f} %"
