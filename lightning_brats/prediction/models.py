"""Trained networks from checkpoints, each with what it needs to be used on new cases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from lightning_brats.crossval.stored import stored_ensemble
from lightning_brats.data.preprocess import Preprocess
from lightning_brats.data.sources import CaseSource
from lightning_brats.errors import ConfigError
from lightning_brats.export.stored import DESCRIPTION, FILES, load_exported
from lightning_brats.labels import LabelScheme
from lightning_brats.models import segmenter
from lightning_brats.parts import check_stored
from lightning_brats.postprocess import Postprocess
from lightning_brats.task import SegmentationTask

TRAINING = ("optimizer", "scheduler")
"""Parts that only training needs."""
UNREADABLE = (RuntimeError, KeyError, TypeError, EOFError, ValueError, UnpicklingError)
EXAMPLE = "checkpoint=runs/<model>/<date-time>/checkpoints/best.ckpt"


@dataclass(frozen=True)
class Model:
    """A trained network and how volumes come to it and labels from it.

    Args:
        checkpoint: Its file.
        task: Network, head, regions and window, in evaluation mode.
        preprocess: As in its training.
        postprocess: As its configuration said.
    """

    checkpoint: Path
    task: SegmentationTask
    preprocess: Preprocess
    postprocess: Postprocess

    @property
    def modalities(self) -> tuple[str, ...]:
        """Channels, in order."""
        return tuple(self.task.context["modalities"])

    @property
    def tolerates_missing(self) -> bool:
        """Whether it was trained with modalities missing (`modality_dropout`)."""
        return self.task.context.get("modality_dropout", 0) > 0

    @property
    def scheme(self) -> LabelScheme:
        """Label coding of the training data."""
        stored = self.task.context["labels"]
        codes = {int(value): int(label) for value, label in stored["codes"].items()}
        return LabelScheme(stored["name"], codes, tuple(stored["regions"]))


def context(source: CaseSource, preprocess: Preprocess) -> dict[str, Any]:
    """What a checkpoint must know about its data to be used on new cases, in plain types."""
    scheme = source.scheme
    return {
        "data": source.name,
        "modalities": list(source.modalities),
        "labels": {
            "name": scheme.name,
            "codes": {int(k): int(v) for k, v in scheme.codes.items()},
            "regions": list(scheme.regions),
        },
        "preprocess": preprocess.to_dict(),
    }


def strictest(models: Sequence[Model]) -> Model:
    """Of networks used together the one that decides which modalities a case needs."""
    return min(models, key=lambda model: model.tolerates_missing)


def find_checkpoints(where: str | Iterable[str]) -> list[Path]:
    """Checkpoint files, each once, in the order named.

    Args:
        where: One or several of: a file, a glob, a run's folder, a folder of runs, an exported
            network's folder, or what `experiments/evaluate.py` made of a cross-validation's runs,
            `ensemble.json` or its folder. Of a folder, `best.ckpt` is taken, else `last.ckpt`, else
            every checkpoint that lies in it.

    Raises:
        ConfigError: Nothing is found.
    """
    found: dict[Path, None] = {}
    for name in [where] if isinstance(where, str) else where:
        places = [Path(p) for p in sorted(glob(name, recursive=True))]
        files = [file for place in places for file in _in_place(place)]
        if not files:
            what = "no file matches" if has_magic(name) else "checkpoint not found"
            raise ConfigError(what, file=name, remedy=EXAMPLE)
        found |= dict.fromkeys(files)
    if not found:
        raise ConfigError("no checkpoint is named", remedy=EXAMPLE)
    return list(found)


def ensemble_postprocess(where: str | Iterable[str]) -> Postprocess | None:
    """Post-processing that was tuned for just this ensemble; `None` where there is none."""
    names = [where] if isinstance(where, str) else list(where)
    found = stored_ensemble(Path(names[0])) if len(names) == 1 else None
    return found.postprocess if found else None


def stored_postprocess(task: SegmentationTask) -> Postprocess:
    """The post-processing that a checkpoint says."""
    return Postprocess.from_dict(task.context["postprocess"])


def load_models(checkpoints: Sequence[Path], postprocess: Postprocess | None = None) -> list[Model]:
    """Load networks that are to be used together.

    Args:
        checkpoints: Files.
        postprocess: Instead of what the checkpoints say.

    Raises:
        ConfigError: A file is no checkpoint of ours, or networks differ in modalities or regions.
    """
    models = []
    for path in checkpoints:
        task = load_task(path)
        own = stored_postprocess(task) if postprocess is None else postprocess
        models.append(Model(path, task, Preprocess.from_dict(task.context["preprocess"]), own))
    for what in ("modalities", "regions"):
        first, *others = ((m.checkpoint, _property(m, what)) for m in models)
        for path, value in others:
            if value != first[1]:
                raise ConfigError(
                    f"the checkpoints differ in {what}: {', '.join(first[1])} in {first[0]}, "
                    f"{', '.join(value)} in {path}",
                    remedy="combine networks trained for the same modalities and regions",
                )
    return models


def load_task(checkpoint: Path) -> SegmentationTask:
    """A trained task, or an exported one, without running code stored in the file.

    Raises:
        ConfigError: The file is missing or no checkpoint of ours.
    """
    if checkpoint.name == DESCRIPTION:
        return load_exported(checkpoint)
    if not checkpoint.is_file():
        raise ConfigError("checkpoint not found", file=checkpoint, remedy=EXAMPLE)
    reading: dict[str, Any] = {"map_location": "cpu", "weights_only": True}
    try:
        stored = torch.load(checkpoint, mmap=True, **reading)["hyper_parameters"]
        needed = {**stored, **dict.fromkeys(TRAINING)}
        check_stored(needed, checkpoint)
        task = SegmentationTask.load_from_checkpoint(
            checkpoint, **reading, **dict.fromkeys(TRAINING)
        )
    except UNREADABLE as error:
        raise ConfigError(
            f"not a checkpoint of this suite, or a damaged one ({error})", file=checkpoint
        ) from error
    task.net = segmenter(task.net)
    return task.eval()


def _in_place(place: Path) -> list[Path]:
    ensemble = stored_ensemble(place)
    if ensemble:
        return list(ensemble.checkpoints)
    if place.name in FILES.values():
        place = place.parent
    if (place / DESCRIPTION).is_file():
        return [place / DESCRIPTION]
    if not place.is_dir():
        return [place]
    files = []
    for folder in sorted({path.parent for path in place.rglob("*.ckpt")}):
        preferred = (folder / name for name in ("best.ckpt", "last.ckpt"))
        chosen = next((path for path in preferred if path.exists()), None)
        files += [chosen] if chosen else sorted(folder.glob("*.ckpt"))
    return files


def _property(model: Model, what: str) -> tuple[str, ...]:
    return model.modalities if what == "modalities" else model.task.regions
