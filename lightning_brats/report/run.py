"""A finished run's folder, read and checked: the only place that knows its files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf
from yaml import YAMLError

from lightning_brats.data.splits import PARTS, Split
from lightning_brats.errors import DataError
from lightning_brats.evaluation.confidence import Confidence
from lightning_brats.evaluation.errors import ErrorTables
from lightning_brats.labels import REGIONS

SCORE_COLUMNS = ("case", "patient", "cohort", "region", "metric", "value")
HISTORY_COLUMNS = ("epoch", "train/loss")


@dataclass(frozen=True)
class Run:
    """What a run left behind.

    Args:
        path: The folder.
        config: The resolved configuration.
        environment: Versions, commit, hardware, seed and command.
        split: Cases that were trained, validated and tested on.
        history: One row an epoch.
        scores: Tidy rows `case, patient, cohort, region, metric, value` of the test cases.
        summary: Mean scores and costs.
        errors: Where the masks err; `None` where that was not looked at.
        confidence: What the network said of its masks; `None` where that was not kept.
    """

    path: Path
    config: dict[str, Any]
    environment: dict[str, Any]
    split: Split
    history: pd.DataFrame
    scores: pd.DataFrame
    summary: dict[str, Any]
    errors: ErrorTables | None = None
    confidence: Confidence | None = None

    @property
    def regions(self) -> list[str]:
        """Scored regions, in the order of the summary."""
        return list(self.summary["regions"])

    @property
    def date(self) -> str:
        """When the run began, from its folder's name; the name itself where it holds no date."""
        try:
            began = datetime.strptime(self.path.name, "%Y-%m-%d_%H-%M-%S")
        except ValueError:
            return self.path.name
        return f"{began.day} {began:%B %Y, %H:%M}"

    def prediction(self, case: str) -> Path:
        """Where the predicted mask of a case lies."""
        return self.path / "predictions" / f"{case}.nii.gz"

    def split_sizes(self) -> list[tuple[str, int, int | None]]:
        """Name, number of cases and of patients (where known) of each part of the split."""
        known = self.split.patients
        parts = {part: getattr(self.split, part) for part in PARTS}
        return [
            (part, len(cases), len({known.get(case, case) for case in cases}) if known else None)
            for part, cases in parts.items()
        ]


def read_run(path: Path, trained: bool = True) -> Run:
    """Read a run.

    Args:
        path: Its folder.
        trained: Whether it has epochs; a classical method's run has none.

    Raises:
        DataError: A file is missing or damaged, or lacks what the report needs.
    """
    run = Run(
        path=path,
        config=_read(path / "config.yaml", _yaml),
        environment=_read(path / "environment.json", _json),
        split=_read(path / "split.json", Split.load),
        history=_read(path / "metrics.csv", pd.read_csv)
        if trained
        else pd.DataFrame(columns=HISTORY_COLUMNS),
        scores=_read(path / "evaluation.csv", _scores),
        summary=_read(path / "summary.json", _json),
        errors=ErrorTables.read(path),
        confidence=Confidence.read(path),
    )
    _require(path / "metrics.csv", run.history, HISTORY_COLUMNS)
    _require(path / "evaluation.csv", run.scores, SCORE_COLUMNS)
    _require(path / "summary.json", run.summary, ("model", "data", "regions", "dice_mean"))
    unknown = [region for region in run.regions if region not in REGIONS]
    scored = run.scores[run.scores["metric"] == "dice"]["value"].notna().any()
    if unknown or not run.regions or not scored:
        raise DataError(
            f"there is no Dice to report (regions {run.regions}, unknown {unknown})",
            file=path / "evaluation.csv",
            remedy="evaluate the run again",
        )
    return run


def _read(path: Path, parse: Callable[[Path], Any]) -> Any:
    if not path.exists():
        raise DataError(
            f"the run has no {path.name}",
            file=path,
            remedy="let the run finish, or evaluate it again, before asking for its report",
        )
    try:
        return parse(path)
    except (ValueError, OSError, YAMLError) as error:
        raise DataError(
            f"{path.name} cannot be read ({error})",
            file=path,
            remedy="restore the file or repeat the run",
        ) from error


def _json(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError("expected an object")
    return content


def _yaml(path: Path) -> dict[str, Any]:
    content = OmegaConf.to_container(OmegaConf.load(path))
    if not isinstance(content, dict):
        raise ValueError("expected a mapping")
    return {str(key): value for key, value in content.items()}


def _scores(path: Path) -> pd.DataFrame:
    # Identifiers such as 00012 or NA are text, whatever they look like.
    texts = {name: str for name in SCORE_COLUMNS if name != "value"}
    table = pd.read_csv(path, dtype=texts, keep_default_na=False)
    return table.assign(value=pd.to_numeric(table["value"], errors="coerce"))


def _require(path: Path, found: dict[str, Any] | pd.DataFrame, names: tuple[str, ...]) -> None:
    missing = [name for name in names if name not in found]
    if missing:
        raise DataError(
            f"{path.name} lacks {', '.join(missing)}",
            file=path,
            remedy="repeat the run with this version, which writes them",
        )
