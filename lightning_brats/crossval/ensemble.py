"""What the folds of a cross-validation give together: a summary, and an ensemble that is tuned.

Each fold with `postprocess=tuned` chose thresholds for its own network on its own validation cases.
The mean of the networks' probabilities has one mask, so it needs one choice. It is made on the
validation cases of all folds, each with the probabilities of the one network that never saw it: no
case that a network was trained on takes part, nor any test case.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lightning_brats.console import console
from lightning_brats.crossval.folds import FoldRun, fold_runs, out_of_fold
from lightning_brats.crossval.stored import StoredEnsemble
from lightning_brats.errors import ConfigError
from lightning_brats.evaluation import summarise, write_scores
from lightning_brats.postprocess import Postprocess
from lightning_brats.tuning_run import PROBABILITIES, Tuning, search


def combine(
    runs: Sequence[Path],
    output: Path,
    scores: pd.DataFrame | None = None,
    protocol: str = "legacy",
) -> dict[str, Any]:
    """Write the out-of-fold scores, their summary and the ensemble of the folds' networks.

    `python experiments/predict.py checkpoint=OUTPUT input=DIR output=DIR` uses the ensemble.

    Args:
        runs: Folders of the runs of all folds.
        output: Where `evaluation.csv`, `.parquet`, `summary.json` and `ensemble.json` go, and
            `postprocess.json` where the runs were tuned.
        scores: What `out_of_fold` gave; with `legacy` it need not be given.
        protocol: They were scored with.

    Returns:
        The contents of `summary.json`.

    Raises:
        ConfigError: See `out_of_fold`.
    """
    scores = out_of_fold(runs, protocol) if scores is None else scores
    folds = fold_runs(runs)
    output.mkdir(parents=True, exist_ok=True)
    checkpoints = tuple(run.checkpoint.resolve() for run in folds)
    StoredEnsemble(checkpoints, tune_together(folds, output)).save(output)
    summary = summarise(scores, protocol) | {
        "missing": [],
        "extra": [],
        "data_fingerprint": folds[0].summary["data_fingerprint"],
        "folds": len(folds),
        "runs": [str(run.path) for run in folds],
        "checkpoints": [str(file) for file in checkpoints],
    }
    write_scores(scores, output)
    (output / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return summary


def tune_together(folds: Sequence[FoldRun], output: Path) -> Postprocess | None:
    """Choose the ensemble's post-processing on all out-of-fold cases, and say what it gained.

    Args:
        folds: Runs of all folds.
        output: Gets `postprocess.json`.

    Returns:
        The choice; `None` where the runs were not tuned, or a run's probabilities are gone.

    Raises:
        ConfigError: The runs were tuned in different ways.
    """
    tunings = [run.tuning for run in folds]
    first = tunings[0]
    for run, other in zip(folds, tunings, strict=True):
        if other != first:
            raise ConfigError(
                f"the runs differ in how post-processing was tuned: {folds[0].path} and {run.path}",
                remedy="combine runs with the same postprocess=",
            )
    if not isinstance(first, Tuning):
        return None
    gone = [run.path for run in folds if not any((run.path / PROBABILITIES).glob("*.npz"))]
    if gone:
        console.print(
            f"[yellow]the ensemble has no post-processing of its own:[/] {gone[0]} has no "
            f"{PROBABILITIES}/; name one when you predict, such as postprocess=default"
        )
        return None
    kept = [run.path / PROBABILITIES for run in folds]
    title = "post-processing of the ensemble"
    regions = tuple(folds[0].summary["regions"])
    return search(kept, output, first, regions, folds[0].head, title, "out-of-fold")
