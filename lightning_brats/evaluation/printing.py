"""What an evaluation says in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from lightning_brats.metrics import METRICS

TABLES: Mapping[str, Mapping[str, str]] = {
    "whole volume": {
        "dice": "Dice",
        "hd95": "HD95 (mm)",
        "sensitivity": "sensitivity",
        "precision": "precision",
    },
    "lesion-wise": {
        "lesion_dice": "Dice",
        "lesion_hd95": "HD95 (mm)",
        "lesion_fn": "missed",
        "lesion_fp": "invented",
        "instance_f1": "instance F1",
    },
}
"""Printed tables: title → metric → heading; a metric that the protocol lacks has no column."""


def counting() -> Progress:
    """A bar over the cases, with the time left."""
    columns = BarColumn(), MofNCompleteColumn(), TextColumn("cases, left"), TimeRemainingColumn()
    return Progress(TextColumn("scoring"), *columns, console=Console(stderr=True), transient=True)


def print_summary(summary: Mapping[str, Any], output: Path, page: bool) -> None:
    """Tables of means, what is missing or left over, and where to look.

    Args:
        summary: Contents of `summary.json`.
        output: Where the files are.
        page: Whether there is a page.
    """
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{summary['protocol']}: {_plural(summary['cases'], 'case')} of "
        f"{_plural(summary['patients'], 'patient')}, mean and its 95 % interval"
    )
    for title, headings in TABLES.items():
        _print_table(console, summary["regions"], title, headings)
    for name, text in (
        ("missing", "without a prediction, scored as if nothing had been predicted"),
        ("extra", "left over, belonging to no case"),
    ):
        names = [Path(item).name for item in summary[name]]
        if names:
            noun = _plural(len(names), "case" if name == "missing" else "file")
            more = ", …" if len(names) > 5 else ""
            console.print(f"[yellow]{noun} {text}: {', '.join(names[:5])}{more}[/]")
    lost = sum(metrics["hd95"]["infinite"] for metrics in summary["regions"].values())
    if lost:
        console.print(
            f"{lost} infinite HD95 (one mask empty) counted as {summary['penalty_mm']:g} mm"
        )
    console.print(f"scores in {output / 'evaluation.csv'}")
    if page:
        console.print(f"report in {output / 'evaluation.html'}")


def _print_table(
    console: Console, regions: Mapping[str, Any], title: str, headings: Mapping[str, str]
) -> None:
    shown = [m for m in headings if any(m in found for found in regions.values())]
    if not shown:
        return
    table = Table(title=title, title_justify="left")
    table.add_column("region")
    for metric in shown:
        table.add_column(headings[metric], justify="right")
    for region, found in regions.items():
        # Shares with three decimals; distances and mean counts with one.
        coarse = [bool(METRICS[m].unit) or m.endswith(("_fp", "_fn")) for m in shown]
        cells = [_cell(found[m], 1 if c else 3) for m, c in zip(shown, coarse, strict=True)]
        table.add_row(region, *cells)
    console.print(table)


def _cell(figures: Mapping[str, Any], digits: int) -> str:
    if figures["mean"] is None:
        return "–"
    text = f"{figures['mean']:.{digits}f}"
    if figures["low"] is None:
        return text
    return f"{text}\n\\[{figures['low']:.{digits}f}, {figures['high']:.{digits}f}]"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
