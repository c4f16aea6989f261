"""One thing on disk, read: a run folder, a scored folder, or a table of scores."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import OmegaConf

from lightning_brats.comparison.entry import COLUMNS, Entry
from lightning_brats.comparison.result import COSTS
from lightning_brats.data.layouts.names import patient_of
from lightning_brats.data.splits import Split
from lightning_brats.errors import ConfigError, DataError
from lightning_brats.metrics import METRICS
from lightning_brats.runs import flat

TABLES = ("evaluation.parquet", "evaluation.csv")
CONFIG = "config.yaml"
BUDGET = ("epochs", "steps", "train_seconds")
MISSING = ["", "nan", "NaN", "NA"]
"""What tables of other tools write for an undefined value."""
SYNTHETIC = "data.synthetic_cases"
"""Made up, and trained with: a choice, though the places of data are none."""
DESCRIBED = ("cohort", "grade")
"""Columns of a score table that tell something about the case."""


def find(path: Path) -> tuple[list[Path], list[Path]]:
    """What can be compared under a path.

    Args:
        path: A table of scores, a scored folder, a run, or a folder of any of them.

    Returns:
        Score tables, one a run or scored folder, sorted; and the folders of runs without scores.

    Raises:
        ConfigError: There is no such path, or nothing under it has scores.
    """
    if path.is_file():
        return [path], []
    if not path.is_dir():
        raise ConfigError("there is no such run or table", file=path, remedy="correct the path")
    tables, unfinished = [], []
    for folder, below, names in os.walk(path):
        below.sort()
        table = next((name for name in TABLES if name in names), None)
        if table or CONFIG in names:
            below.clear()  # what lies inside a run is the run's own
            place = Path(folder)
            tables.append(place / table) if table else unfinished.append(place)
    if not tables:
        raise ConfigError(
            "nothing here has been scored",
            file=path,
            remedy="name finished runs, folders scored by experiments/evaluate.py, or tables with "
            f"the columns {', '.join(COLUMNS)}",
        )
    return sorted(tables), unfinished


def read_entry(table: Path, details: pd.DataFrame | None = None) -> Entry:
    """Everything known about one run or scored folder; its choice is still its name.

    A folder of masks scored inside a run belongs to that run.

    Args:
        table: Its scores.
        details: Column `case` and what else is known about cases.

    Raises:
        DataError: The table or one of the files beside it is damaged.
    """
    scores, attributes = _scores(table)
    folder = table.parent
    run = next((place for place in (folder, folder.parent) if (place / CONFIG).is_file()), None)
    lone = run is None and not (folder / "summary.json").is_file()
    own = _json(folder / "summary.json")
    summary = _json(run / "summary.json") if run else own
    settings: dict[str, Any] = {}
    if run:
        settings = {
            SYNTHETIC: summary.get("synthetic_cases", 0),
            **flat(OmegaConf.load(run / CONFIG)),
        }
    split = Split.load(run / "split.json") if run and (run / "split.json").is_file() else None
    name = table.stem if lone and table.name not in TABLES else (run or folder).name
    cases = tuple(dict.fromkeys(scores["case"]))
    patients = dict(zip(scores["case"], scores["patient"], strict=True))
    return Entry(
        name=name,
        folder=run or folder,
        choice=name,
        seed=settings.get("seed"),
        fold=settings.get("fold", summary.get("fold")),
        scores=scores[list(COLUMNS)],
        train_cases=frozenset((*split.train, *split.validation)) if split else frozenset(),
        test_cases=cases,
        patients={**(split.patients if split else {}), **patients},
        facts=_facts(scores, {**attributes, **own}, summary, settings),
        cost={key: float(summary[key]) for key in COSTS if summary.get(key) is not None},
        history=_history(run),
        settings=settings,
        cases=_cases(scores, details),
    )


def _scores(path: Path) -> tuple[pd.DataFrame, Mapping[str, Any]]:
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
        else:
            names = {"case": str, "patient": str}
            table = pd.read_csv(
                path, dtype=names, keep_default_na=False, na_values={"value": MISSING}
            )
            table["value"] = table["value"].astype(float)
    except (ValueError, KeyError, OSError) as error:
        remedy = f"it needs the columns {', '.join(COLUMNS)}"
        raise DataError(f"unreadable scores ({error})", file=path, remedy=remedy) from error
    missing = [name for name in COLUMNS if name not in table]
    if missing or table.empty:
        problem = f"the table lacks {', '.join(missing)}" if missing else "the table has no rows"
        remedy = f"it needs the columns {', '.join(COLUMNS)}; patient and cohort are welcome"
        raise DataError(problem, file=path, remedy=remedy)
    unknown = sorted(set(table["metric"]) - set(METRICS))
    if unknown:
        remedy = f"known metrics: {', '.join(METRICS)}"
        raise DataError(f"unknown metrics {unknown}", file=path, remedy=remedy)
    twice = table.duplicated(["case", "region", "metric"])
    if twice.any():
        row = table[twice].iloc[0]
        problem = f"{row['metric']} of {row['region']} stands there twice"
        remedy = "keep one row a case, region and metric"
        raise DataError(problem, case=row["case"], file=path, remedy=remedy)
    if "patient" not in table:
        table["patient"] = table["case"].map(patient_of)
    return table, table.attrs


def _facts(
    scores: pd.DataFrame,
    own: Mapping[str, Any],
    summary: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """What has to agree; `own` is said by the scored folder, `summary` by its run."""
    protocol = own.get("protocol", "legacy" if settings else None)
    # More time would not make a classical method better: it has a cost, but no budget.
    budget = () if summary.get("classical") else BUDGET
    facts = {
        "protocol": protocol,
        "data_fingerprint": summary.get("data_fingerprint"),
        "regions": tuple(dict.fromkeys(scores["region"])),
        "labels": settings.get("data.labels"),
        "phantom": summary.get("phantom"),
        "budget": {key: summary[key] for key in budget if summary.get(key) is not None},
    }
    return {key: value for key, value in facts.items() if value not in (None, {})}


def _cases(scores: pd.DataFrame, details: pd.DataFrame | None) -> pd.DataFrame:
    """What is known about each case."""
    known = pd.DataFrame({"case": scores["case"].unique()})
    for name in DESCRIBED:
        if name in scores:
            values = scores.drop_duplicates("case").set_index("case")[name]
            known[name] = known["case"].map(values).replace("", np.nan)
    whole = scores[scores["region"] == "WT"].pivot(index="case", columns="metric", values="value")
    if "volume_reference" in whole:
        known["volume_WT_ml"] = known["case"].map(whole["volume_reference"] / 1000)
    for kind in ("lesion", "instance"):
        counts = [f"{kind}_tp", f"{kind}_fn"]
        if "lesions" not in known and set(counts) <= set(whole):
            known["lesions"] = known["case"].map(whole[counts].sum(axis=1))
    if details is None:
        return known
    new = [name for name in details if name == "case" or name not in known]
    return known.merge(details[new].drop_duplicates("case"), on="case", how="left")


def _history(run: Path | None) -> pd.DataFrame | None:
    if run is None or not (run / "metrics.csv").is_file():
        return None
    return pd.read_csv(run / "metrics.csv")


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        remedy = "score the folder again, or run the experiment again"
        raise DataError(f"damaged summary ({error})", file=path, remedy=remedy) from error


def read_details(path: Path) -> pd.DataFrame:
    """A table that tells more about cases: column `case`, and `cohort`, `grade` or others.

    Raises:
        DataError: It is unreadable, or names no cases.
    """
    try:
        table = pd.read_csv(path, dtype={"case": str})
    except (ValueError, OSError) as error:
        remedy = "save it as comma-separated text"
        raise DataError(f"unreadable table ({error})", file=path, remedy=remedy) from error
    if "case" not in table:
        raise DataError("the table has no column 'case'", file=path, remedy="add it")
    return table
