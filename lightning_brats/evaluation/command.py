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

from lightning_brats.data.audit import check_writable
from lightning_brats.evaluation.pairing import pair_files
from lightning_brats.evaluation.references import reference_cases
from lightning_brats.evaluation.scoring import evaluate, write_scores
from lightning_brats.evaluation.summary import summarise

SHOWN: Mapping[str, str] = {
    "dice": "Dice",
    "hd95": "HD95 (mm)",
    "sensitivity": "sensitivity",
    "precision": "precision",
    "lesion_dice": "lesion Dice",
    "lesion_hd95": "lesion HD95 (mm)",
    "instance_f1": "instance F1",
}
"""Metrics of the printed table, where the protocol has them."""


def run(cfg: DictConfig) -> dict[str, Any]:
    """Score `cfg.predictions` against `cfg.references`; see `configs/evaluate.yaml`.

    Returns:
        The contents of `summary.json`.

    Raises:
        BratsError: Something the user can put right.
    """
    labels = OmegaConf.to_container(cfg.labels) if OmegaConf.is_config(cfg.labels) else cfg.labels
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


def _progress() -> Progress:
    columns = BarColumn(), MofNCompleteColumn(), TextColumn("cases, left"), TimeRemainingColumn()
    return Progress(TextColumn("scoring"), *columns, console=Console(stderr=True), transient=True)


def _print(summary: Mapping[str, Any], output: Path) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(_table(summary))
    for name, text in (
        ("missing", "cases have no prediction and score as if nothing had been predicted"),
        ("extra", "files belong to no case"),
    ):
        names = [Path(item).name for item in summary[name]]
        if names:
            more = ", …" if len(names) > 5 else ""
            console.print(f"[yellow]{len(names)} {text}: {', '.join(names[:5])}{more}[/]")
    lost = sum(metrics["hd95"]["infinite"] for metrics in summary["regions"].values())
    if lost:
        console.print(
            f"{lost} HD95 are infinite (one mask empty) and count as {summary['penalty_mm']:g} mm"
        )
    console.print(f"scores  {output / 'evaluation.csv'}")


def _table(summary: Mapping[str, Any]) -> Table:
    regions = summary["regions"]
    metrics = [m for m in SHOWN if any(m in found for found in regions.values())]
    table = Table(
        title=f"{summary['protocol']}, {summary['cases']} cases of {summary['patients']} patients: "
        "mean [95 % interval]"
    )
    table.add_column("region")
    for metric in metrics:
        table.add_column(SHOWN[metric], justify="right")
    for region, found in regions.items():
        cells = [_cell(found[m], 1 if "HD95" in SHOWN[m] else 3) for m in metrics]
        table.add_row(region, *cells)
    return table


def _cell(figures: Mapping[str, Any], digits: int) -> str:
    if figures["mean"] is None:
        return "–"
    text = f"{figures['mean']:.{digits}f}"
    if figures["low"] is None:
        return text
    return f"{text} \\[{figures['low']:.{digits}f}, {figures['high']:.{digits}f}]"
