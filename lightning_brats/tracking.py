"""Weights & Biases: the one file that knows it. Rank 0 alone talks; nothing ever asks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import wandb
from pytorch_lightning.loggers import WandbLogger

from lightning_brats.comparison.choices import OPTIONS, option
from lightning_brats.errors import ConfigError
from lightning_brats.labels import TISSUES
from lightning_brats.runs import flat

CHOICE = "choice"
"""Part of a record's configuration: the option of each config group, to group and filter by."""
BEST = "val/dice_best"
"""In its summary: the best mean validation Dice, where `val/dice_mean` is the last."""
CASES, OVERLAYS = "test/cases", "test/overlays"
"""The table of scores a case, and slices with reference and prediction."""


def start(
    settings: Mapping[str, Any], run: Path, name: str, group: str, config: Mapping[str, Any]
) -> WandbLogger | None:
    """Open the run's logger; `None` where tracking is off.

    Online where the user is logged in, else offline: then `wandb sync` sends the run later. W&B's
    own variables WANDB_RUN_GROUP and WANDB_RUN_ID, which a sweep sets, come before the defaults.

    Args:
        settings: `mode`, `project`, `entity`, `group`, `tags`, `job_type`.
        run: The run's folder; the tracker's files go there too.
        name: Of the run.
        group: Runs to compare, where the settings name none.
        config: Resolved configuration.
    """
    if settings["mode"] == "none":
        return None
    os.environ.setdefault("WANDB_SILENT", "true")  # the run says where its record is
    own = flat(config)
    return WandbLogger(
        name=name,
        save_dir=str(run),
        id=os.environ.get("WANDB_RUN_ID") or _identifier(run),
        project=settings["project"],
        entity=settings["entity"],
        group=settings["group"] or os.environ.get("WANDB_RUN_GROUP") or group,
        tags=list(settings["tags"]),
        job_type=settings["job_type"],
        config={**config, CHOICE: {group: option(own, group) for group in OPTIONS}},
        mode=resolve_mode(settings["mode"]),
        resume="allow",
    )


def resolve_mode(mode: str) -> str:
    """What `auto` stands for: WANDB_MODE, else online where the user is logged in."""
    if mode != "auto":
        return mode
    return os.environ.get("WANDB_MODE") or ("online" if _logged_in() else "offline")


def log_results(
    logger: WandbLogger,
    scores: pd.DataFrame,
    summary: Mapping[str, Any],
    slices: Sequence[Mapping[str, Any]],
    labels: Sequence[str] = TISSUES,
) -> None:
    """Final summary, the table of scores a case, and overlay images.

    Args:
        logger: From `start`.
        scores: Tidy rows `case, patient, cohort, region, metric, value`.
        summary: Contents of `summary.json`.
        slices: `case`, `image` (H, W) in [0, 1], `reference` and `prediction` (H, W) labels.
        labels: Name of each label.
    """
    experiment = logger.experiment
    names = dict(enumerate(labels))
    images = [
        wandb.Image(
            np.asarray(view["image"]) * 255,
            caption=view["case"],
            masks={
                part: {"mask_data": np.asarray(view[part], np.int32), "class_labels": names}
                for part in ("reference", "prediction")
            },
        )
        for view in slices
    ]
    wide = scores.pivot(index=["case", "patient"], columns=["region", "metric"], values="value")
    wide = wide.sort_index().sort_index(axis=1)
    wide.columns = [f"{region}/{metric}" for region, metric in wide.columns]
    table = wandb.Table(dataframe=wide.reset_index())
    experiment.log({CASES: table, OVERLAYS: images})
    experiment.summary.update(flatten(summary))


def finish(logger: WandbLogger | None) -> None:
    """Close the run, so that its files are complete, with the best validation in its summary."""
    if logger is None:
        return
    best = _best_validation(Path(str(logger.save_dir)) / "metrics.csv")
    if best is not None:
        logger.experiment.summary[BEST] = best
    logger.experiment.finish()


@contextmanager
def answering(remedy: str) -> Iterator[None]:
    """Turn what goes wrong between here and W&B's server into a message.

    Raises:
        ConfigError: The server cannot be reached, or refuses.
    """
    try:
        yield
    except Exception as error:  # of many kinds there, some private
        problem = f"W&B did not answer as hoped ({type(error).__name__}: {error})"
        raise ConfigError(problem, remedy=remedy) from error


def own_entity() -> str | None:
    """Who is logged in: the user, or the team that is the user's default."""
    return wandb.Api().default_entity


def find_report(place: str, title: str) -> str | None:
    """Identifier of the report of that title.

    Args:
        place: `entity/project`.
        title: The newest counts, where several have it.
    """
    try:
        reports = list(wandb.Api().reports(place))
    except ValueError:  # there is no such project yet
        return None
    named = [report for report in reports if report.display_name == title]
    newest = max(named, key=lambda report: str(report.updated_at), default=None)
    return None if newest is None else str(newest.id)


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested summary → `{"regions/WT/dice": 0.9, …}`."""
    out: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        out |= flatten(value, f"{name}/") if isinstance(value, Mapping) else {name: value}
    return out


def _best_validation(table: Path) -> float | None:
    if not table.is_file():
        return None
    values = pd.read_csv(table).get("val/dice_mean", pd.Series(dtype=float)).dropna()
    return float(values.max()) if len(values) else None


def _identifier(run: Path) -> str:
    """Fixed by the run's folder, so that a continued run goes on in the same record."""
    return f"{run.parent.name}-{run.name}"[-64:]


def _logged_in() -> bool:
    return bool(wandb.login(prompt=False, verify=False))
