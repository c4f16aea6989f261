"""The runs of a cross-validation's folds: every case scored by the run that never saw it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from lightning_brats.data.case import Case
from lightning_brats.data.splits import Split
from lightning_brats.data.synthetic import is_marked
from lightning_brats.errors import BratsError, ConfigError, DataError
from lightning_brats.evaluation import evaluate
from lightning_brats.parts import build, plain
from lightning_brats.postprocess import Head
from lightning_brats.tuning_run import Tuning

FOLDS = "fold=0, fold=1, … and the same data, seed and folds in every run"
MASKS = "predictions_validation"
"""Folder of a fold's masks of its validation cases, and their scores."""


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
        return pd.read_parquet(self._file(f"{MASKS}/evaluation.parquet"))

    @cached_property
    def config(self) -> dict[str, Any]:
        """Its configuration."""
        return plain(OmegaConf.load(self._file("config.yaml")))

    @property
    def head(self) -> Head:
        """What the network's outputs are."""
        return self.config["head"]

    @property
    def tuning(self) -> Tuning | None:
        """How it chose its post-processing; `None` where it did not choose."""
        found = build(self.config["postprocess"])
        return found if isinstance(found, Tuning) else None

    def validation_cases(self) -> list[Case]:
        """Its validation cases, with their reference masks.

        Raises:
            ConfigError: The data set is not where it was, or lacks a case.
        """
        arguments = dict(self.config["data"])
        arguments.pop("cache", None)
        remedy = f"score its masks: predictions={self.path / MASKS} references=DIR"
        try:
            found = {case.case: case for case in build(arguments).cases}
        except BratsError as error:
            problem = f"the run's data set cannot be read again: {error.problem}"
            raise ConfigError(problem, file=self.path, remedy=remedy) from error
        gone = [name for name in self.split.validation if name not in found]
        if gone:
            problem = f"the run's data set no longer has {', '.join(gone[:3])}"
            raise ConfigError(problem, file=self.path, remedy=remedy)
        return [found[name] for name in self.split.validation]

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


def fold_runs(runs: Sequence[Path]) -> list[FoldRun]:
    """The runs of all folds, in the folds' order.

    Raises:
        ConfigError: A run is unfinished or no fold, the runs differ in model, data, seed, folds,
            test cases or regions, a fold is missing or there twice, or a case is not scored once.
    """
    folds = [FoldRun(Path(run)) for run in runs]
    _check(folds)
    return sorted(folds, key=lambda run: run.split.fold or 0)


def out_of_fold(
    runs: Sequence[Path],
    protocol: str = "legacy",
    regions: Sequence[str] | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Scores of every case that is not tested on, each by the run that validated on it.

    Args:
        runs: Folders of the runs of all folds, in any order.
        protocol: A name in `lightning_brats.metrics.PROTOCOLS`. `legacy` scores were written by
            the runs; for others the masks are scored again, against the data set where the run
            found it.
        regions: To score; by default the protocol's, of `legacy` those of the runs.
        workers: Processes; see `evaluate`.
        progress: Called with (cases done, cases in all), where masks are scored again.

    Returns:
        Tidy rows as `evaluate` gives them, with the column `fold`, sorted by case.

    Raises:
        ConfigError: See `fold_runs`; or the data set is not where it was.
        DataError: A mask is missing, or cannot be scored.
    """
    folds = fold_runs(runs)
    if protocol == "legacy" and regions is None:
        parts = [run.scores.assign(fold=run.split.fold) for run in folds]
    else:
        parts = _scored_again(folds, protocol, regions, workers, progress)
    return pd.concat(parts).sort_values("case", kind="stable", ignore_index=True)


def _scored_again(
    folds: Sequence[FoldRun],
    protocol: str,
    regions: Sequence[str] | None,
    workers: int | None,
    progress: Callable[[int, int], None] | None,
) -> list[pd.DataFrame]:
    cases = [run.validation_cases() for run in folds]
    total, before = sum(map(len, cases)), 0
    parts = []
    for run, own in zip(folds, cases, strict=True):

        def count(done: int, _total: int, before: int = before) -> None:
            if progress:
                progress(before + done, total)

        found = evaluate(run.path / MASKS, own, protocol, regions, workers, progress=count)
        if missing := found.attrs["missing"]:
            raise DataError(
                f"the run has no mask of {', '.join(missing[:3])}",
                file=run.path / MASKS,
                remedy="run the fold again",
            )
        parts.append(found.assign(fold=run.split.fold))
        before += len(own)
    return parts


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
    if count := sum(not is_marked(case) for case in left):
        raise ConfigError(f"{count} cases are validated on in no run", remedy=FOLDS)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
