"""What a training of a generator leaves: image quality on the test cases, pictures, a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import WandbLogger
from rich.table import Table

from lightning_brats import console, runs, tracking
from lightning_brats.data.case import Case
from lightning_brats.data.datamodule import BratsDataModule
from lightning_brats.figures import save_png
from lightning_brats.preparation import about_data
from lightning_brats.report.html import embedded, write_page
from lightning_brats.report.wording import duration, number
from lightning_brats.results import peak_memory_mb
from lightning_brats.synthesis.picture import Row, rows_of_slices
from lightning_brats.synthesis.quality import METRICS, compare, rebuilt
from lightning_brats.synthesis.task import SynthesisTask

TABLE = "image_quality.csv"
PICTURED = 3
"""Test cases that are drawn."""
REGIONS = {
    "tumour": "the labelled voxels",
    "generated": "tumour and margin, all that was generated",
    "brain": "the whole brain, most of which is the image's own",
}
HEADINGS = {"mae": "MAE (SD)", "psnr": "PSNR (dB)", "ssim": "SSIM"}


def score_images(
    folder: Path, model: str, data: BratsDataModule, task: SynthesisTask, trainer: pl.Trainer
) -> dict[str, Any]:
    """Generate the test cases' tumours again; write table, summary, pictures and page.

    Args:
        folder: The run's.
        model: Name of the generator's configuration.
        data: Its test cases are the references.
        task: The trained generator; its last weights.
        trainer: What trained it.

    Returns:
        The contents of `summary.json`.
    """
    task.eval().to(trainer.strategy.root_device)  # Lightning has taken it off the GPU
    cases, rows, pictures = data.cases("test"), [], []
    with torch.no_grad(), console.counting("generating", "test cases") as progress:
        progress(0, len(cases))
        for done, case in enumerate(cases, 1):
            found, picture = _examined(folder, case, data, task, draw=done <= PICTURED)
            rows += found
            pictures += [picture] if picture else []
            progress(done, len(cases))
    table = pd.DataFrame(rows)
    table.to_csv(folder / TABLE, index=False)
    summary = _summary(folder, model, data, task, table)
    runs.write_json(folder / "summary.json", summary)
    _write_page(folder, summary, pictures)
    if isinstance(trainer.logger, WandbLogger):
        trainer.logger.experiment.summary.update(tracking.flatten(summary))
        tracking.finish(trainer.logger)
    _print(summary, folder)
    return summary


def _examined(
    folder: Path, case: Case, data: BratsDataModule, task: SynthesisTask, draw: bool
) -> tuple[list[dict[str, Any]], Path | None]:
    """Rows of one case, and its picture if it is to be drawn."""
    prepared = data.cache.get(case).prepared()
    real, labels = np.asarray(prepared.image, np.float32), np.asarray(prepared.mask)
    made, hole = rebuilt(task, prepared, seed=0)
    regions = {"tumour": (labels > 0) & hole, "generated": hole, "brain": (real != 0).any(0)}
    rows = compare(case, real, made, regions)
    if not draw:
        return rows, None
    shown = [Row(f"{case.case}, real", real, labels), Row("generated from its mask", made, labels)]
    figure = rows_of_slices(shown, list(case.images), prepared.geometry.spacing)
    return rows, save_png(figure, folder / "figures" / f"{case.case}.png", dpi=100)


def _summary(
    folder: Path, model: str, data: BratsDataModule, task: SynthesisTask, table: pd.DataFrame
) -> dict[str, Any]:
    history = pd.read_csv(folder / "metrics.csv")
    finite = table.assign(value=table["value"].replace(np.inf, np.nan))
    means = finite.groupby(["region", "modality", "metric"])["value"].mean()
    quality: dict[str, dict[str, dict[str, float]]] = {}
    for (region, modality, metric), value in means.items():
        quality.setdefault(region, {}).setdefault(modality, {})[metric] = float(value)
    return {
        "model": model,
        **about_data(data),
        "image_quality": quality,
        "train_cases": len(data.split.train),
        "train_seconds": round(float(history["seconds"].sum()), 1),
        "epochs": int(history["epoch"].iloc[-1]) + 1,
        "steps": int(history["step"].iloc[-1]),
        "parameters": sum(p.numel() for p in task.net.parameters()),
        "peak_memory_mb": peak_memory_mb(),
    }


def _write_page(folder: Path, summary: dict[str, Any], pictures: list[Path]) -> Path:
    context = {
        "name": f"{summary['model']} on {summary['data']}",
        "phantom": console.PHANTOM_NOTE if summary["phantom"] else "",
        "headings": [HEADINGS[metric] for metric in METRICS],
        "tables": [(region, REGIONS[region], rows) for region, rows in _cells(summary).items()],
        "pictures": [(path.stem, embedded(path)) for path in pictures],
        "facts": [
            ("Trained on", f"{summary['train_cases']} cases"),
            ("Judged on", f"{summary['test_cases']} test cases"),
            ("Training took", duration(summary["train_seconds"])),
            ("Steps", str(summary["steps"])),
            ("Generator", f"{summary['parameters']:,} parameters"),
            ("Peak memory", f"{summary['peak_memory_mb'] / 1024:.2g} GB"),
        ],
    }
    return write_page(folder / "report.html", "synthesis.html.j2", context)


def _cells(summary: dict[str, Any]) -> dict[str, list[list[str]]]:
    """Region → a row a modality, as text."""
    quality = summary["image_quality"]
    digits = {"mae": 3, "psnr": 1, "ssim": 3}
    return {
        region: [
            [modality, *(number(values.get(metric), digits[metric]) for metric in METRICS)]
            for modality, values in quality[region].items()
        ]
        for region in REGIONS
        if region in quality
    }


def _print(summary: dict[str, Any], folder: Path) -> None:
    title = f"{summary['model']} on {summary['data']}, {summary['test_cases']} test cases"
    table = Table(title=title)
    for heading in ("region", "modality", *HEADINGS.values()):
        table.add_column(heading, justify="left" if heading in ("region", "modality") else "right")
    for region, rows in _cells(summary).items():
        for row in rows:
            table.add_row(region, *row)
    console.console.print()
    console.console.print(table)
    console.console.print(f"  report      {console.shown(folder / 'report.html')}")
    command = f"python experiments/synthesize.py checkpoint={console.shown(folder)} output=DIR"
    console.console.print(f"  new cases   {command}", markup=False)
