"""`experiments/evaluate.py`: score a folder of masks, print a table, write the files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from lightning_brats.crossval import ENSEMBLE, combine
from lightning_brats.data.audit import check_writable
from lightning_brats.errors import ConfigError
from lightning_brats.evaluation.pairing import pair_files
from lightning_brats.evaluation.references import reference_cases
from lightning_brats.evaluation.scoring import evaluate, write_scores
from lightning_brats.evaluation.summary import summarise
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


def run(cfg: DictConfig) -> dict[str, Any]:
    """Score `cfg.predictions` against `cfg.references`; see `configs/evaluate.yaml`.

    Returns:
        The contents of `summary.json`.

    Raises:
        BratsError: Something the user can put right.
    """
    if cfg.runs:
        return _run_folds(cfg)
    if missing := sorted(OmegaConf.missing_keys(cfg)):
        raise ConfigError(
            f"not given: {', '.join(missing)}",
            remedy="python experiments/evaluate.py predictions=DIR references=DIR",
        )
    labels: Any = OmegaConf.to_container(cfg)["labels"]  # type: ignore[call-overload, index]
    output = Path(cfg.output or cfg.predictions)
    check_writable(output)
    cases = reference_cases(Path(cfg.references), labels)
    pairing = pair_files(Path(cfg.predictions), cases)
    with _progress() as bar:
        task = bar.add_task("", total=len(cases))
        scores = evaluate(
            pairing,
            cases,
            protocol=cfg.protocol,
            regions=cfg.regions,
            workers=cfg.workers,
            resample=cfg.resample,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    summary = summarise(scores, cfg.protocol) | {
        "missing": scores.attrs["missing"],
        "extra": scores.attrs["extra"],
    }
    write_scores(scores, output)
    (output / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    _print(summary, output)
    return summary


def _run_folds(cfg: DictConfig) -> dict[str, Any]:
    """Join the scores that the runs of a cross-validation wrote."""
    if cfg.protocol != "legacy":
        raise ConfigError(
            f"runs are scored with protocol=legacy, not {cfg.protocol}",
            remedy="score their masks: predictions=RUN/predictions_validation references=DIR",
        )
    runs = [Path(run) for run in cfg.runs]
    output = Path(cfg.output or runs[0].parent / "cross-validation")
    check_writable(output)
    summary = combine(runs, output)
    _print(summary, output)
    command = f'python experiments/predict.py "$(cat {output / ENSEMBLE})" input=DIR output=DIR'
    print(f"to segment with all of them: {command}")
    return summary


def _progress() -> Progress:
    columns = BarColumn(), MofNCompleteColumn(), TextColumn("cases, left"), TimeRemainingColumn()
    return Progress(TextColumn("scoring"), *columns, console=Console(stderr=True), transient=True)


def _print(summary: Mapping[str, Any], output: Path) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{summary['protocol']}: {_plural(summary['cases'], 'case')} of "
        f"{_plural(summary['patients'], 'patient')}, mean and its 95 % interval"
    )
    for title, headings in TABLES.items():
        _print_table(console, summary["regions"], title, headings)
    for name, text in (
        ("missing", "without a prediction, scored as if nothing had been predicted"),
        ("extra", "left over, which belong to no case"),
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
