"""`experiments/evaluate.py`: score a folder of masks, print a table, write files and a page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from lightning_brats.data.audit import check_writable
from lightning_brats.errors import ConfigError
from lightning_brats.evaluation.confidence import Confidence
from lightning_brats.evaluation.errors import ErrorTables
from lightning_brats.evaluation.pairing import pair_files
from lightning_brats.evaluation.printing import counting, print_summary
from lightning_brats.evaluation.references import reference_cases
from lightning_brats.evaluation.scoring import Evaluation, examine
from lightning_brats.evaluation.soft import soft_files
from lightning_brats.evaluation.summary import summarise

VALIDATION = "predictions_validation"
"""Folder of a fold's masks of its validation cases, and their tables."""


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
    folder, output = Path(cfg.predictions), Path(cfg.output or cfg.predictions)
    check_writable(output)
    cases = reference_cases(Path(cfg.references), labels)
    pairing = pair_files(folder, cases)
    with counting() as bar:
        task = bar.add_task("", total=len(cases))
        found = examine(
            pairing,
            cases,
            protocol=cfg.protocol,
            regions=cfg.regions,
            workers=cfg.workers,
            resample=cfg.resample,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
            boundary=cfg.boundary,
            soft=soft_files(folder, pairing),
        )
    summary = summarise(found.scores, cfg.protocol) | {
        "missing": found.scores.attrs["missing"],
        "extra": found.scores.attrs["extra"],
    }
    _write(found, summary, output)
    if cfg.report:
        # Plotting takes a second to load, and worker processes need none of it.
        from lightning_brats.evaluation.subject import of_folder
        from lightning_brats.report import write_evaluation

        subject = of_folder(folder, Path(cfg.references), cases, pairing, cfg.resample)
        write_evaluation(output, found, summary, subject)
    print_summary(summary, output, cfg.report)
    return summary


def _run_folds(cfg: DictConfig) -> dict[str, Any]:
    """Join the scores of a cross-validation's runs, and make their ensemble."""
    # Only an ensemble needs networks; Lightning takes seconds to load.
    from lightning_brats.crossval import combine, out_of_fold

    runs = [Path(run) for run in cfg.runs]
    output = Path(cfg.output or runs[0].parent / "cross-validation")
    check_writable(output)
    with counting() as bar:
        task = bar.add_task("", total=None)
        scores = out_of_fold(
            runs,
            cfg.protocol,
            cfg.regions,
            cfg.workers,
            lambda done, total: bar.update(task, completed=done, total=total),
        )
    summary = combine(runs, output, scores, cfg.protocol)
    found = _of_folds(runs, scores, cfg.boundary)
    _write(found, summary, output)
    if cfg.report:
        from lightning_brats.evaluation.subject import of_folds
        from lightning_brats.report import write_evaluation

        write_evaluation(output, found, summary, of_folds(runs, found.scores))
    print_summary(summary, output, cfg.report)
    command = f"python experiments/predict.py checkpoint={output} input=DIR output=DIR"
    print(f"to segment with all of them: {command}")
    return summary


def _of_folds(runs: Sequence[Path], scores: pd.DataFrame, boundary: bool) -> Evaluation:
    """The out-of-fold scores, with what all runs wrote of errors and confidence."""
    folders = [run / VALIDATION for run in runs]
    errors = [ErrorTables.read(folder) for folder in folders] if boundary else [None]
    confidence = [Confidence.read(folder) for folder in folders]
    known = [tables for tables in errors if tables is not None]
    sure = [tables for tables in confidence if tables is not None]
    return Evaluation(
        scores,
        ErrorTables.join(known) if len(known) == len(errors) else None,
        Confidence.join(sure) if len(sure) == len(confidence) else None,
    )


def _write(found: Evaluation, summary: dict[str, Any], output: Path) -> None:
    """Write the tables and `summary.json`, which also says how far confidence can be trusted."""
    if found.confidence is not None:
        summary["confidence"] = found.confidence.summarise(found.scores)
    found.write(output)
    (output / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
