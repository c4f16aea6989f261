"""What there is to segment with: finished runs and ensembles, best first."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from lightning_brats.crossval.stored import ENSEMBLE, stored_ensemble
from lightning_brats.data.phantom.dataset import RECORD
from lightning_brats.errors import BratsError
from lightning_brats.postprocess import Postprocess
from lightning_brats.prediction import Model, find_checkpoints, load_models
from lightning_brats.prediction.models import ensemble_postprocess, stored_postprocess

VALIDATED = "val/dice_mean"


@dataclass(frozen=True)
class Trained:
    """A run, or an ensemble of runs.

    Args:
        place: Folder of the run, or the file that names the ensemble.
        name: Relative to the folder of runs.
        dice: Mean Dice on validation cases, of an ensemble's members on those left out of each;
            `None` where it is not known.
        phantom: Spacing in mm of the digital phantom that it was trained on; `None` for real data.
        networks: How many.
    """

    place: Path
    name: str
    dice: float | None
    phantom: float | None
    networks: int = 1

    @property
    def title(self) -> str:
        """For a list of choices."""
        score = "no validation score" if self.dice is None else f"validation Dice {self.dice:.3f}"
        several = f" · {self.networks} networks" if self.networks > 1 else ""
        return f"{self.name}{several} · {score}{' · phantom' if self.phantom else ''}"


def find_trained(runs: Path) -> list[Trained]:
    """Every finished run of a segmentation below a folder, and every ensemble, best first."""
    folders = {path.parent.parent for path in runs.rglob("checkpoints/*.ckpt")}
    singles = [_run(folder, runs) for folder in folders if _is_finished(folder)]
    ensembles = [_ensemble(path, runs) for path in runs.rglob(ENSEMBLE)]
    found = [*singles, *(each for each in ensembles if each is not None)]
    return sorted(found, key=lambda each: (-(each.dice or -1.0), each.name))


def load(chosen: tuple[Trained, ...]) -> tuple[Model, ...]:
    """The networks of what was chosen, used together; the last few stay in memory.

    Where they were tuned to different post-processing their mean gets none.

    Raises:
        ConfigError: A checkpoint is gone or damaged, or the networks do not go together.
    """
    names = tuple(str(each.place) for each in chosen)
    files = find_checkpoints(names)
    return _loaded(names, tuple((file, file.stat().st_mtime_ns) for file in files))


def unprocessed(models: Sequence[Model]) -> bool:
    """Whether networks are used without post-processing, as each was tuned to another one."""
    own = [stored_postprocess(model.task) for model in models]
    return models[0].postprocess == Postprocess() and any(each != own[0] for each in own)


@lru_cache(2)
def _loaded(names: tuple[str, ...], files: tuple[tuple[Path, int], ...]) -> tuple[Model, ...]:
    models = load_models([file for file, _ in files], ensemble_postprocess(names))
    if any(model.postprocess != models[0].postprocess for model in models):
        models = [replace(model, postprocess=Postprocess()) for model in models]
    return tuple(models)


def _is_finished(run: Path) -> bool:
    """Whether it was scored; generators of images have no regions."""
    return "regions" in _read_json(run / "summary.json")


def _run(folder: Path, runs: Path) -> Trained:
    return Trained(
        folder,
        str(folder.relative_to(runs)),
        _validated(folder / "metrics.csv"),
        _phantom(folder),
    )


def _ensemble(file: Path, runs: Path) -> Trained | None:
    try:
        stored = stored_ensemble(file)
    except BratsError:  # its runs were moved or deleted
        return None
    assert stored is not None
    mean = _read_json(file.parent / "summary.json").get("mean", {}).get("dice", {}).get("mean")
    members = [_phantom(path.parent.parent) for path in stored.checkpoints]
    phantom = next((spacing for spacing in members if spacing), None)
    return Trained(file, str(file.parent.relative_to(runs)), mean, phantom, len(members))


def _phantom(run: Path) -> float | None:
    """Voxel edge of the phantom that a run was trained on; `None` where it had real data."""
    if not _read_json(run / "summary.json").get("phantom"):
        return None
    data = OmegaConf.load(run / "config.yaml").data
    stored = _read_json(Path(data.get("root") or run) / RECORD)
    return float(stored.get("spacing") or data.get("phantom", {}).get("spacing") or 2.0)


def _validated(table: Path) -> float | None:
    try:
        values = pd.read_csv(table)[VALIDATED].dropna()
    except (OSError, KeyError, ValueError):
        return None
    return float(values.max()) if len(values) else None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
