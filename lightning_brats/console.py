"""What a run says in the terminal."""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from lightning_brats.data.sources import CaseSource
from lightning_brats.data.space import counted
from lightning_brats.data.splits import Split
from lightning_brats.errors import DataError
from lightning_brats.machine import Machine
from lightning_brats.warmstart import WarmStart

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
LISTED = 20
"""Excluded cases shown in the terminal."""
INTERVAL = 15.0
"""Seconds between lines on progress where there is no bar."""
console = Console(highlight=False, soft_wrap=True)


def quieten() -> None:
    """Hide what libraries say about themselves; what concerns the user, we say."""
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Of making the phantom the first line is shown; one a case would be too many.
    for name, start in (("phantom", "making"), ("cache", "")):
        logger = logging.getLogger(f"lightning_brats.data.{name}")
        if not logger.handlers:
            handler = logging.StreamHandler(sys.stdout)
            handler.addFilter(partial(_is_for_the_user, start))
            logger.addHandler(handler)
            logger.setLevel(logging.INFO)
    for about in HUSHED:
        warnings.filterwarnings("ignore", f".*{about}.*")


def _is_for_the_user(start: str, record: logging.LogRecord) -> bool:
    first = getattr(rank_zero_only, "rank", 0) == 0  # of several processes one speaks
    return first and record.getMessage().startswith(start)


@rank_zero_only
def heading(
    cfg: DictConfig, machine: Machine, source: CaseSource, split: Split, folder: Path
) -> None:
    """What will be run, on what."""
    parts = ", ".join(f"{len(getattr(split, p))} {p}" for p in ("train", "validation", "test"))
    console.print(f"[bold]{cfg.model_name}[/] on [bold]{source.name}[/]: {parts} cases")
    console.print(f"  modalities  {', '.join(source.modalities)}")
    codings = dict.fromkeys(scheme.describe() for scheme in source.schemes)
    console.print(f"  labels      {'; '.join(codings)}")
    console.print(f"  machine     {machine.summary}")
    console.print(f"  results     {shown(folder)}")
    if source.phantom:
        console.print(f"  [yellow]{PHANTOM_NOTE}[/]")


@rank_zero_only
def excluded(errors: Sequence[DataError]) -> None:
    """Cases that are left out, and why."""
    if errors:
        console.print(f"  [yellow]left out[/]    {counted(len(errors))} that cannot be used:")
    for error in errors[:LISTED]:
        console.print(f"    {error.case or error.file}: {error.problem}", markup=False)
    if len(errors) > LISTED:
        console.print(f"    … and {len(errors) - LISTED} more, see summary.json")


@rank_zero_only
def choices(cfg: DictConfig) -> None:
    """The settings that fit the machine, each with the override that changes it."""
    patch = "×".join(str(size) for size in cfg.queue.patch_size)
    augmented = " augmentation.device=true" if cfg.augmentation.get("device") is True else ""
    console.print(
        f"  settings    trainer.precision={cfg.trainer.precision} trainer.threads="
        f"{cfg.trainer.threads} queue.workers={cfg.queue.workers} "
        f"queue.batch_size={cfg.queue.batch_size} queue.patch_size={patch}{augmented}"
    )


@rank_zero_only
def started_from(weights: str, found: WarmStart) -> None:
    """What of a file of weights the network starts from."""
    console.print(f"  weights     {shown(Path(weights))}")
    for line in found.lines():
        console.print(f"    {line}", markup=False)


@rank_zero_only
def passed_over(damaged: Path, used: Path) -> None:
    """A damaged checkpoint, and the one before it that is used."""
    console.print(
        f"  [yellow]{shown(damaged)} is damaged or gone; going on from {shown(used)}, one "
        "checkpoint earlier[/]"
    )


@contextmanager
def preparing() -> Iterator[Callable[[int, int], None]]:
    """A bar over the cases that are not in the cache yet; silent where all are."""
    bar = _bar("preparing", "cases")
    task = bar.add_task("", total=None)

    def update(done: int, total: int) -> None:
        if not bar.live.is_started:
            bar.start()
        bar.update(task, completed=done, total=total)

    try:
        yield update
    finally:
        bar.stop()


@contextmanager
def counting(doing: str, noun: str, shown: bool = True) -> Iterator[Callable[[int, int], None]]:
    """A bar over cases with the time left; plain lines, one in a while, where nobody watches.

    Args:
        doing: What is done, such as `segmenting`.
        noun: What is counted, such as `test cases`.
        shown: Whether to say anything; one of several processes does.
    """
    if not shown:
        yield lambda done, total: None
        return
    if not console.is_terminal:
        yield _Lines(doing, noun)
        return
    with _bar(doing, noun) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class _Lines:
    """Prints the first count and the last one, and between them one every `INTERVAL` seconds."""

    def __init__(self, doing: str, noun: str) -> None:
        self.doing, self.noun = doing, noun
        self._started = self._printed = time.perf_counter()
        self._first: int | None = None

    def __call__(self, done: int, total: int) -> None:
        now = time.perf_counter()
        first = self._first is None
        if self._first is None:
            self._first = done
        if not first and done < total and now - self._printed < INTERVAL:
            return
        self._printed = now
        spent = now - self._started
        text = f"  {self.doing:<11} {done}/{total} {self.noun}"
        if done == total:
            text += f"  in {_time(spent)}"
        elif done > self._first:
            text += f"  left {_time(spent / (done - self._first) * (total - done))}"
        console.print(text)


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.1f} min"


def _bar(doing: str, noun: str) -> Progress:
    return Progress(
        TextColumn(doing),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(f"{noun}, left"),
        TimeRemainingColumn(),
        console=console,
    )


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
