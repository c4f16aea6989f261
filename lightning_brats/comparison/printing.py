"""What a comparison says in the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lightning_brats.comparison.result import Comparison
from lightning_brats.comparison.words import digits, metric_name, plural
from lightning_brats.metrics import METRICS

WIDE = 120
"""Columns of what goes to a file: long names of choices stay in one piece."""


def print_comparison(
    comparison: Comparison, output: Path, written: Sequence[str], unfinished: Sequence[Path]
) -> None:
    """Warnings, a compact table, the verdict, and where the rest is.

    Args:
        comparison: What was found.
        output: Where the files are.
        written: Names of the files to look at first.
        unfinished: Runs that were passed over.
    """
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = max(console.width, WIDE)
    for warning in comparison.warnings:
        console.print(f"[yellow]! {escape(warning)}[/]")
    if unfinished:
        names = ", ".join(f"{path.parent.name}/{path.name}" for path in unfinished[:4])
        more = ", …" if len(unfinished) > 4 else ""
        console.print(f"[yellow]! not finished, left out: {escape(names)}{more}[/]")
    patients = int(comparison.pairs["n"].max())
    console.print(f"{plural(patients, 'patient')}, mean and its 95 % interval, best first")
    for table in _tables(comparison):
        console.print(table)
    console.print()
    for sentence in comparison.verdicts:
        console.print(escape(sentence))
    console.print()
    for name in written:
        console.print(f"  {output / name}")


def _tables(comparison: Comparison) -> Iterator[Table]:
    """One a metric: choice, seeds, rank, and the mean with its interval of each region."""
    ranks = comparison.ranking.set_index("choice")["rank"]
    for metric, rows in comparison.summary.groupby("metric", sort=False):
        places, cells = digits(str(metric)), rows.set_index(["choice", "region"])
        # Without a frame, three regions and the names of choices fit into 80 columns.
        table = Table(title=_title(str(metric)), title_justify="left", box=SIMPLE_HEAD)
        table.add_column("choice", overflow="fold")
        table.add_column("seeds", justify="right")
        table.add_column("rank", justify="right")
        regions = list(rows["region"].unique())
        for region in regions:
            table.add_column(region, justify="right", no_wrap=True)
        for choice in comparison.choices:
            own = [cells.loc[(choice, region)] for region in regions]
            texts = [_cell(row, places) for row in own]
            table.add_row(escape(choice), str(own[0]["n_seeds"]), f"{ranks[choice]:.2f}", *texts)
        yield table


def _title(metric: str) -> str:
    declared = METRICS[metric]
    unit = f" ({declared.unit})" if declared.unit else ""
    better = "higher" if declared.higher_is_better else "lower"
    return f"{metric_name(metric)}{unit}, {better} is better"


def _cell(row: pd.Series, places: int) -> str:
    if math.isnan(row["low"]):
        return f"{row['mean']:.{places}f}"
    return f"{row['mean']:.{places}f}\n\\[{row['low']:.{places}f}, {row['high']:.{places}f}]"
