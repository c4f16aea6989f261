"""From saved masks to scores, summary and page of a classical method's run."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from lightning_brats import console, runs
from lightning_brats.baselines.gain import described, gains
from lightning_brats.data.case import Case, Volume
from lightning_brats.data.datamodule import BratsDataModule
from lightning_brats.evaluation import Evaluation, examine, summarise
from lightning_brats.evaluation.files import read_prediction
from lightning_brats.machine import Machine
from lightning_brats.parts import plain
from lightning_brats.preparation import about_data
from lightning_brats.report import Subject, write_card, write_evaluation
from lightning_brats.report.wording import duration, plural, settings
from lightning_brats.results import mean_scores, peak_memory_mb
from lightning_brats.segmentation import VALIDATION

PACKAGES = ("scikit-learn", "scikit-image", "SimpleITK", "scipy")
"""Whose versions decide about the result, beside those of every run."""


def environment(machine: Machine, seed: int) -> dict[str, Any]:
    """Versions, commit, hardware, seed and command, for `environment.json`."""
    found = runs.describe_environment(machine, seed)
    found["versions"] |= {name: importlib.metadata.version(name) for name in PACKAGES}
    return found


def conclude(
    folder: Path,
    cfg: DictConfig,
    data: BratsDataModule,
    fitted: Mapping[str, Any],
    seconds: Mapping[str, float],
    network: Path | None = None,
) -> dict[str, Any]:
    """Score a run's masks; write tables, `summary.json` and `report.html`; print the scores.

    Args:
        folder: The run's, with `predictions/`.
        cfg: Its configuration.
        data: Its test cases are the references.
        fitted: What was found on training cases.
        seconds: `train`, and `case` of segmenting one.
        network: Run whose masks were refined; then the summary says what that changed.

    Returns:
        The contents of `summary.json`.
    """
    regions = data.source.scheme.regions
    cases = data.cases("test")
    found = _score(folder / "predictions", folder, cases, "test", regions)
    if data.split.fold is not None:
        own = folder / VALIDATION
        _score(own, own, data.cases("validation"), "validation", regions)
    summary = {
        **_about(cfg, data, found.scores),
        "fitted": dict(fitted),
        "train_seconds": round(seconds["train"], 1),
        "inference_seconds_per_case": round(seconds["case"], 3),
        "peak_memory_mb": peak_memory_mb(),
    }
    if network is not None:
        summary["against_network"] = gains(network, folder)
    runs.write_json(folder / "summary.json", summary)
    _write_page(folder, cfg, summary, found, cases)
    write_card(folder, {case.case: case for case in cases})
    console.results(found.scores, summary, folder)
    for name, text in described(summary.get("against_network", {})):
        console.console.print(f"  {name}: {text}")
    return summary


def _score(
    masks: Path, folder: Path, cases: Sequence[Case], part: str, regions: Sequence[str]
) -> Evaluation:
    """Score masks, look where they err, and write the tables into a folder."""
    with console.counting("scoring", f"{part} cases") as progress:
        progress(0, len(cases))
        found = examine(masks, cases, regions=regions, progress=progress)
    found.write(folder)
    return found


def _about(cfg: DictConfig, data: BratsDataModule, scores: pd.DataFrame) -> dict[str, Any]:
    """What was scored, and the means; the keys are those of a network's run."""
    regions = mean_scores(scores, data.source.scheme.regions)
    return {
        "model": cfg.model_name,
        "classical": True,
        **about_data(data),
        "regions": regions,
        "dice_mean": float(np.mean([values["dice"] for values in regions.values()])),
        "train_cases": len(data.split.train),
    }


def _write_page(
    folder: Path,
    cfg: DictConfig,
    summary: Mapping[str, Any],
    found: Evaluation,
    cases: Sequence[Case],
) -> None:
    """The page of an evaluation under a run's name: there are no epochs to show."""

    def predicted(case: Case, volume: Volume) -> np.ndarray:
        path, shape = folder / "predictions" / f"{case.case}.nii.gz", volume.image.shape[1:]
        return read_prediction(case, path, shape, volume.affine, resample=False)

    subject = Subject(
        f"{summary['model']} on {summary['data']}",
        _facts(cfg, summary),
        cases={case.case: case for case in cases},
        predicted=predicted,
    )
    scored = summarise(found.scores) | {"missing": [], "extra": []}
    write_evaluation(folder, found, scored, subject).replace(folder / "report.html")


def _facts(cfg: DictConfig, summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    target, chosen = settings(plain(cfg.method))
    _, fitted = settings(summary["fitted"])
    _, cleaned = settings(plain(cfg.postprocess))
    return [
        ("Method", f"{target}: no network, no GPU"),
        ("Settings", _listed(chosen)),
        ("Found by fitting", _listed(fitted)),
        *described(summary.get("against_network", {})),
        ("Post-processing", _listed(cleaned)),
        ("Data set", summary["data"]),
        *([("Note", console.PHANTOM_NOTE)] if summary["phantom"] else []),
        ("Fitted on", plural(summary["train_cases"], "case")),
        ("Scored on", plural(summary["test_cases"], "test case")),
        ("Fitting took", duration(summary["train_seconds"])),
        ("Segmenting took", f"{duration(summary['inference_seconds_per_case'])} a case"),
        ("Peak memory", f"{summary['peak_memory_mb'] / 1024:.2g} GB"),
    ]


def _listed(leaves: Sequence[tuple[str, str]]) -> str:
    return "; ".join(f"{name} {value}" for name, value in leaves) or "none"
