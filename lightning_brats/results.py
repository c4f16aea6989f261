"""From saved masks to scores, summary, report and tracker."""

from __future__ import annotations

import json
import resource
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import WandbLogger

from lightning_brats import console, tracking
from lightning_brats.data.case import Case
from lightning_brats.data.datamodule import BratsDataModule
from lightning_brats.data.reading import read_mask, read_native
from lightning_brats.evaluation import Evaluation, examine
from lightning_brats.evaluation.confidence import Confidence
from lightning_brats.figures.planes import AXIAL, take, to_ras, widest_slices
from lightning_brats.figures.window import window
from lightning_brats.models import describe
from lightning_brats.preparation import about_data
from lightning_brats.report import write_card, write_report
from lightning_brats.runs import write_json
from lightning_brats.segmentation import COST, VALIDATION
from lightning_brats.slices import slab_slices
from lightning_brats.task import SegmentationTask
from lightning_brats.tuning_run import STORED

LOGGED_CASES = 8
"""Test cases whose slices go to the tracker."""


def score_and_report(
    folder: Path, model: str, data: BratsDataModule, task: SegmentationTask, trainer: pl.Trainer
) -> dict[str, Any]:
    """Score the run's predictions; write tables, summary, report and model card; tell the tracker.

    Args:
        folder: The run's, with `predictions/`.
        model: Name of the network's configuration.
        data: Its test cases are the references.
        task: The trained network.
        trainer: What trained it.

    Returns:
        The contents of `summary.json`.
    """
    cases = data.cases("test")
    scores = _score(folder / "predictions", folder, cases, "test", task).scores
    if data.split.fold is not None:
        own = folder / VALIDATION
        _score(own, own, data.cases("validation"), "validation", task)
    summary = summarise(folder, model, data, task, scores)
    write_json(folder / "summary.json", summary)
    by_name = {case.case: case for case in cases}
    write_report(folder, by_name)
    write_card(folder, by_name)
    if isinstance(trainer.logger, WandbLogger):
        slices = [overlay(case, folder / "predictions") for case in cases[:LOGGED_CASES]]
        tracking.log_results(trainer.logger, scores, summary, slices)
        tracking.finish(trainer.logger)
    console.results(scores, summary, folder)
    return summary


def _score(
    masks: Path, folder: Path, cases: Sequence[Case], part: str, task: SegmentationTask
) -> Evaluation:
    """Score masks, look where they err, and write the tables into a folder."""
    with console.counting("scoring", f"{part} cases") as progress:
        progress(0, len(cases))
        found = examine(masks, cases, regions=task.regions, progress=progress)
    found.write(folder)
    return found


def summarise(
    folder: Path,
    model: str,
    data: BratsDataModule,
    task: SegmentationTask,
    scores: pd.DataFrame,
) -> dict[str, Any]:
    """Scores and cost of a run, for `summary.json`; means leave infinite distances out."""
    history = pd.read_csv(folder / "metrics.csv")
    regions = mean_scores(scores, task.regions)
    patch = [size for size in data.settings.patch_size if task.spatial_dims == 3 or size > 1]
    channels = len(data.source.modalities) * slab_slices(data.settings.neighbours)
    cost = describe(task.net, (channels, *patch))
    validated = history.dropna(subset=["val/dice_mean"]) if "val/dice_mean" in history else history
    best = validated["val/dice_mean"].idxmax() if len(validated) else None
    tuned = folder / STORED
    confidence = Confidence.read(folder)
    return {
        "model": model,
        **about_data(data),
        "postprocess": json.loads(tuned.read_text()) if tuned.exists() else None,
        "confidence": confidence.summarise(scores) if confidence else None,
        "regions": regions,
        "dice_mean": float(np.mean([values["dice"] for values in regions.values()])),
        "train_seconds": round(float(history["seconds"].sum()), 1),
        "epochs": int(history["epoch"].iloc[-1]) + 1,
        "steps": int(history["step"].iloc[-1]),
        "best_epoch": None if best is None else int(history["epoch"][best]),
        "parameters": cost["parameters"],
        "gflops_per_patch": round(cost["gflops"], 3),
        "peak_memory_mb": peak_memory_mb(),
        **running_cost(folder, history),
    }


def running_cost(folder: Path, history: pd.DataFrame) -> dict[str, float]:
    """Seconds a test case took, and energy of training, as far as they were measured.

    Args:
        folder: The run's.
        history: Its epochs.
    """
    known = {}
    if (folder / COST).is_file():
        measured = json.loads((folder / COST).read_text())
        known["inference_seconds_per_case"] = round(measured["seconds_per_case"], 3)
    if "energy_wh" in history and history["energy_wh"].notna().all():
        known["energy_kwh"] = round(float(history["energy_wh"].sum()) / 1000, 6)
    return known


def mean_scores(scores: pd.DataFrame, regions: Sequence[str]) -> dict[str, dict[str, float | None]]:
    """Region → metric → mean over cases; infinite and undefined values are left out."""
    finite = scores.assign(value=scores["value"].replace([np.inf, -np.inf], np.nan))
    means = finite.groupby(["region", "metric"], sort=False)["value"].mean()
    return {
        region: {
            metric: None if np.isnan(value) else float(value)
            for metric, value in means[region].items()
        }
        for region in regions
    }


def peak_memory_mb() -> int:
    """Largest memory held so far, in MiB: on the GPU where there is one, else by this process."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated() / 2**20)
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def overlay(case: Case, predictions: Path) -> Mapping[str, Any]:
    """The axial slice with most tumour: image in [0, 1], reference and prediction as labels."""
    volume = read_native(case)
    predicted, _ = read_mask(predictions / f"{case.case}.nii.gz", case.scheme, case.case)
    assert volume.mask is not None
    modality = "t2f" if "t2f" in case.images else next(iter(case.images))
    image = volume.image[list(case.images).index(modality)]
    turned = [to_ras(array, volume.affine)[0] for array in (image, volume.mask, predicted)]
    index = widest_slices(turned[1] > 0)[AXIAL.axis]
    shown, reference, prediction = (take(array, AXIAL, index)[::-1] for array in turned)
    low, high = window(shown)
    return {
        "case": f"{case.case} ({modality}, slice {index})",
        "image": np.clip((shown - low) / max(high - low, 1e-6), 0, 1),
        "reference": reference,
        "prediction": prediction,
    }
