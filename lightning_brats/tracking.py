"""Weights & Biases: the one file that knows it. Rank 0 alone talks; nothing ever asks."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import wandb
from pytorch_lightning.loggers import WandbLogger

from lightning_brats.labels import TISSUES


def start(
    settings: Mapping[str, Any], run: Path, name: str, group: str, config: Mapping[str, Any]
) -> WandbLogger | None:
    """Open the run's logger; `None` where tracking is off.

    Online where the user is logged in, else offline: then `wandb sync` sends the run later.

    Args:
        settings: `mode`, `project`, `entity`, `group`, `tags`, `job_type`.
        run: The run's folder; the tracker's files go there too.
        name: Of the run.
        group: Runs to compare, where the settings name none.
        config: Resolved configuration.
    """
    mode = settings["mode"]
    if mode == "none":
        return None
    os.environ.setdefault("WANDB_SILENT", "true")  # the run says where its record is
    if mode == "auto":
        mode = os.environ.get("WANDB_MODE") or ("online" if _logged_in() else "offline")
    return WandbLogger(
        name=name,
        save_dir=str(run),
        id=_identifier(run),
        project=settings["project"],
        entity=settings["entity"],
        group=settings["group"] or group,
        tags=list(settings["tags"]),
        job_type=settings["job_type"],
        config=dict(config),
        mode=mode,
        resume="allow",
    )


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
    wide = scores.pivot_table(
        index=["case", "patient"], columns=["region", "metric"], values="value", dropna=False
    )
    wide.columns = [f"{region}/{metric}" for region, metric in wide.columns]
    table = wandb.Table(dataframe=wide.reset_index())
    experiment.log({"test/cases": table, "test/overlays": images})
    experiment.summary.update(flatten(summary))


def finish(logger: WandbLogger | None) -> None:
    """Close the run, so that its files are complete."""
    if logger is not None:
        logger.experiment.finish()


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested summary → `{"regions/WT/dice": 0.9, …}`."""
    out: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        out |= flatten(value, f"{name}/") if isinstance(value, Mapping) else {name: value}
    return out


def _identifier(run: Path) -> str:
    """Fixed by the run's folder, so that a continued run goes on in the same record."""
    return f"{run.parent.name}-{run.name}"[-64:]


def _logged_in() -> bool:
    return bool(wandb.login(prompt=False, verify=False))
