"""The folds of a cross-validation as one result: every case scored by the run that never saw it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from lightning_brats.data.splits import Split
from lightning_brats.errors import ConfigError
from lightning_brats.evaluation import summarise, write_scores

FOLDS = "fold=0, fold=1, … and the same data, seed and folds in every run"
ENSEMBLE = "ensemble.txt"


@dataclass(frozen=True)
class FoldRun:
    """One finished run with `fold=`.

    Args:
        path: Its folder.
    """

    path: Path

    @cached_property
    def split(self) -> Split:
        """Which cases it trained, validated and tested on."""
        return Split.load(self._file("split.json"))

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Contents of its `summary.json`."""
        return json.loads(self._file("summary.json").read_text(encoding="utf-8"))

    @cached_property
    def scores(self) -> pd.DataFrame:
        """Tidy rows of its validation cases."""
        return pd.read_parquet(self._file("predictions_validation/evaluation.parquet"))

    @property
    def checkpoint(self) -> Path:
        """The weights it tested with."""
        best = self.path / "checkpoints" / "best.ckpt"
        return best if best.exists() else self._file("checkpoints/last.ckpt")

    def _file(self, name: str) -> Path:
        if not (self.path / name).is_file():
            raise ConfigError(
                f"not a finished run of a fold: there is no {name}",
                file=self.path,
                remedy="name folders of runs made with fold=0, fold=1, …",
            )
        return self.path / name


def out_of_fold(runs: Sequence[Path]) -> pd.DataFrame:
    """Scores of every case that is not tested on, each by the run that validated on it.

    Args:
        runs: Folders of the runs of all folds, in any order.

    Returns:
        Tidy rows as `evaluate` gives them, with the column `fold`, sorted by case.

    Raises:
        ConfigError: A run is unfinished or no fold, the runs differ in model, data, seed, folds,
            test cases or regions, a fold is missing or there twice, or a case is not scored once.
    """
    folds = [FoldRun(Path(run)) for run in runs]
    _check(folds)
    parts = [run.scores.assign(fold=run.split.fold) for run in folds]
    return pd.concat(parts).sort_values("case", kind="stable", ignore_index=True)


def combine(runs: Sequence[Path], output: Path) -> dict[str, Any]:
    """Write the out-of-fold scores, their summary and the ensemble of the folds' networks.

    `ensemble.txt` is an argument of the prediction command:
    `python experiments/predict.py "$(cat …/ensemble.txt)" input=DIR output=DIR`.

    Args:
        runs: Folders of the runs of all folds.
        output: Where `evaluation.csv`, `.parquet`, `summary.json` and `ensemble.txt` go.

    Returns:
        The contents of `summary.json`.

    Raises:
        ConfigError: See `out_of_fold`.
    """
    scores = out_of_fold(runs)
    folds = sorted(map(FoldRun, map(Path, runs)), key=lambda run: run.split.fold or 0)
    checkpoints = [str(run.checkpoint.resolve()) for run in folds]
    summary = summarise(scores) | {
        "missing": [],
        "extra": [],
        "data_fingerprint": folds[0].summary["data_fingerprint"],
        "folds": len(folds),
        "runs": [str(run.path) for run in folds],
        "checkpoints": checkpoints,
    }
    write_scores(scores, output)
    (output / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    (output / ENSEMBLE).write_text(f"checkpoint=[{','.join(checkpoints)}]\n", encoding="utf-8")
    return summary


def _check(folds: Sequence[FoldRun]) -> None:
    if not folds:
        raise ConfigError("no run is named", remedy=FOLDS)
    loose = [run.path for run in folds if run.split.fold is None]
    if loose:
        raise ConfigError("the run is not a fold of a cross-validation", file=loose[0])
    _check_equal(folds, "model", lambda run: run.summary["model"])
    _check_equal(folds, "data", lambda run: run.summary.get("data_fingerprint"))
    _check_equal(folds, "seed of the split", lambda run: run.split.seed)
    _check_equal(folds, "number of folds", lambda run: run.split.folds)
    _check_equal(folds, "test cases", lambda run: sorted(run.split.test))
    _check_equal(folds, "regions", lambda run: list(run.summary["regions"]))
    numbers = [run.split.fold for run in folds]
    every = range(folds[0].split.folds or 0)
    twice = [number for number in every if numbers.count(number) > 1]
    missing = [number for number in every if number not in numbers]
    for found, what in ((twice, "given twice"), (missing, "missing")):
        if found:
            listed = ", ".join(map(str, found))
            raise ConfigError(f"fold {listed} of {folds[0].split.folds} is {what}", remedy=FOLDS)
    _check_cases(folds)


def _check_equal(folds: Sequence[FoldRun], what: str, value: Callable[[FoldRun], object]) -> None:
    first = folds[0]
    for run in folds[1:]:
        if value(run) != value(first):
            raise ConfigError(
                f"the runs differ in the {what}: {_short(value(first))} in {first.path}, "
                f"{_short(value(run))} in {run.path}",
                remedy=FOLDS,
            )


def _check_cases(folds: Sequence[FoldRun]) -> None:
    """Every case is validated once, but for those tested on and synthetic ones."""
    seen: dict[str, FoldRun] = {}
    for run in folds:
        if set(run.scores["case"]) != set(run.split.validation):
            raise ConfigError("the scores are not those of its validation cases", file=run.path)
        for case in run.split.validation:
            other = seen.setdefault(case, run)
            if other is not run:
                problem = f"{case} is validated on in {other.path} and {run.path}"
                raise ConfigError(problem, remedy=FOLDS)
    left = {case for run in folds for case in run.split.train} - set(seen)
    count = len(left) - folds[0].summary["synthetic_cases"]
    if count > 0:
        raise ConfigError(f"{count} cases are validated on in no run", remedy=FOLDS)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
