"""What a run says in the terminal."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from lightning_brats.data.sources import CaseSource
from lightning_brats.data.splits import Split
from lightning_brats.machine import Machine

PHANTOM_NOTE = (
    "The data are the embedded digital phantom: scores on it show that things work, "
    "and mean nothing clinically."
)
TABLE_METRICS: Mapping[str, str] = {
    "dice": "Dice",
    "hd95": "HD95 (mm)",
    "sensitivity": "sensitivity",
    "precision": "precision",
}
HUSHED = (
    "LeafSpec",
    "does not have many workers",
    "in eval mode",
    "exists and is not empty",  # a run goes on in its own folder
    "dataloader is not resumable",  # the queue is, by its position in the checkpoint
)
"""Warnings of libraries that are not about this run."""
console = Console(highlight=False, soft_wrap=True)


def quieten() -> None:
    """Hide what libraries say about themselves; what concerns the user, we say."""
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    phantom = logging.getLogger("lightning_brats.data.phantom")
    if not phantom.handlers:  # its first line; one a case would be too many
        handler = logging.StreamHandler(sys.stdout)
        handler.addFilter(lambda record: record.getMessage().startswith("making"))
        phantom.addHandler(handler)
        phantom.setLevel(logging.INFO)
    for about in HUSHED:
        warnings.filterwarnings("ignore", f".*{about}.*")


@rank_zero_only
def heading(
    cfg: DictConfig, machine: Machine, source: CaseSource, split: Split, folder: Path
) -> None:
    """What will be run, on what."""
    parts = ", ".join(f"{len(getattr(split, p))} {p}" for p in ("train", "validation", "test"))
    console.print(f"[bold]{cfg.model_name}[/] on [bold]{source.name}[/]: {parts} cases")
    console.print(f"  modalities  {', '.join(source.modalities)}")
    console.print(f"  labels      {source.scheme.describe()}")
    console.print(f"  machine     {machine.summary}")
    console.print(f"  results     {shown(folder)}")
    if source.phantom:
        console.print(f"  [yellow]{PHANTOM_NOTE}[/]")


@rank_zero_only
def choices(cfg: DictConfig) -> None:
    """The settings that fit the machine, each with the override that changes it."""
    patch = "×".join(str(size) for size in cfg.queue.patch_size)
    console.print(
        f"  settings    trainer.precision={cfg.trainer.precision} trainer.threads="
        f"{cfg.trainer.threads} queue.workers={cfg.queue.workers} "
        f"queue.batch_size={cfg.queue.batch_size} queue.patch_size={patch}"
    )


@contextmanager
def preparing() -> Iterator[Callable[[int, int], None]]:
    """A bar over the cases that are not in the cache yet; silent where all are."""
    bar = Progress(
        TextColumn("preparing"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("cases, left"),
        TimeRemainingColumn(),
        console=console,
    )
    task = bar.add_task("", total=None)

    def update(done: int, total: int) -> None:
        if not bar.live.is_started:
            bar.start()
        bar.update(task, completed=done, total=total)

    try:
        yield update
    finally:
        bar.stop()


@rank_zero_only
def results(scores: pd.DataFrame, summary: Mapping[str, Any], folder: Path) -> None:
    """The table of scores, and where to look."""
    table = Table(
        title=f"{summary['model']} on {summary['data']}, {summary['test_cases']} test cases"
    )
    table.add_column("region")
    for heading_ in TABLE_METRICS.values():
        table.add_column(heading_, justify="right")
    for region in summary["regions"]:
        cells = []
        for metric in TABLE_METRICS:
            values = scores.query("region == @region and metric == @metric")["value"]
            finite = values[values.abs() != float("inf")]
            lost = len(values) - len(finite)
            digits = 1 if metric == "hd95" else 3
            text = f"{finite.mean():.{digits}f}"
            if len(finite) > 1:
                text += f" ± {finite.std():.{digits}f}"
            cells.append(text + (f" ({lost} infinite)" if lost else ""))
        table.add_row(region, *cells)
    console.print()
    console.print(table)
    console.print(
        f"mean Dice {summary['dice_mean']:.3f}, trained in {summary['train_seconds']:.0f} s"
    )
    if summary["phantom"]:
        console.print(f"[yellow]{PHANTOM_NOTE}[/]")
    console.print(f"  report       {shown(folder / 'report.html')}")
    console.print(f"  scores       {shown(folder / 'evaluation.csv')}")
    console.print(f"  predictions  {shown(folder / 'predictions')}")


def shown(path: Path) -> str:
    """Relative where that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)
