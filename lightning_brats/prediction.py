"""From whole volumes to masks on disk, on the grid and in the coding of the input."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig

from lightning_brats.data.audit import check_writable
from lightning_brats.data.case import Case, write_mask
from lightning_brats.data.datamodule import from_files, volume_loader
from lightning_brats.data.index import index_dataset
from lightning_brats.data.preprocess import Geometry, Preprocess
from lightning_brats.data.sources import CaseSource
from lightning_brats.data.table import index_table
from lightning_brats.errors import ConfigError
from lightning_brats.labels import LabelScheme
from lightning_brats.parts import build
from lightning_brats.postprocess import Postprocess
from lightning_brats.task import SegmentationTask


class PredictionWriter(pl.Callback):
    """Turns each predicted volume into `<folder>/<case>.nii.gz`.

    Args:
        folder: Where masks go.
        postprocess: Probabilities → labels.
        total: Number of cases, to say a line a case; silent when not given.
    """

    def __init__(self, folder: Path, postprocess: Postprocess, total: int | None = None) -> None:
        self.folder, self.postprocess, self.total = folder, postprocess, total

    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: torch.Tensor,
        batch: dict[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write one case."""
        assert isinstance(pl_module, SegmentationTask)
        if not batch["counted"]:
            return
        case, geometry = batch["origin"].case, batch["origin"].geometry
        probabilities = outputs.float().cpu().numpy()
        labels = self.postprocess(
            probabilities, geometry.spacing, pl_module.regions, pl_module.head
        )
        path = save_labels(self.folder, case, geometry, labels)
        if self.total:
            print(f"  {batch_idx + 1}/{self.total}  {path}", flush=True)


def save_labels(folder: Path, case: Case, geometry: Geometry, labels: np.ndarray) -> Path:
    """Write labels (x, y, z) of the cropped grid as the case's mask on its own grid."""
    path = folder / f"{case.case}.nii.gz"
    write_mask(path, geometry.restore(labels), np.asarray(geometry.affine), case.scheme)
    return path


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
        "preprocess": asdict(preprocess),
    }


def load_task(checkpoint: Path) -> SegmentationTask:
    """A trained task, without running code stored in the file.

    Raises:
        ConfigError: The file is missing or no checkpoint of ours.
    """
    if not checkpoint.is_file():
        raise ConfigError(
            "checkpoint not found",
            file=checkpoint,
            remedy="checkpoint=runs/<model>/<date-time>/checkpoints/best.ckpt",
        )
    try:
        task = SegmentationTask.load_from_checkpoint(
            checkpoint, map_location="cpu", weights_only=True
        )
    except (RuntimeError, KeyError, TypeError, EOFError, ValueError) as error:
        raise ConfigError(
            f"not a checkpoint of this suite, or a damaged one ({error})", file=checkpoint
        ) from error
    return task.eval()


def checkpoint_scheme(task: SegmentationTask) -> LabelScheme:
    """Label coding that the task was trained with."""
    stored = task.context["labels"]
    codes = {int(value): int(label) for value, label in stored["codes"].items()}
    return LabelScheme(stored["name"], codes, tuple(stored["regions"]))


def predict(cfg: DictConfig) -> Path:
    """Segment every case of a folder or table with a trained network.

    Args:
        cfg: `configs/predict.yaml`.

    Raises:
        ConfigError: The checkpoint cannot be used.
        DataError: A case lacks a modality that the network needs, or cannot be read.
    """
    task = load_task(Path(cfg.checkpoint))
    task.inference = replace(task.inference, tta=cfg.tta, precision=cfg.precision)
    output = Path(cfg.output)
    check_writable(output)
    cases = _cases(task, Path(cfg.input), cfg.layout)
    print(f"segmenting {len(cases)} cases of {cfg.input} with {cfg.checkpoint}", flush=True)
    preprocess = Preprocess(**task.context["preprocess"])
    loader = volume_loader(cases, partial(from_files, preprocess), workers=1)
    postprocess = build(task.context["postprocess"])
    trainer = pl.Trainer(
        accelerator=cfg.accelerator,
        devices=1,
        logger=False,
        callbacks=[PredictionWriter(output, postprocess, total=len(cases))],
        enable_progress_bar=False,
        enable_checkpointing=False,
        use_distributed_sampler=False,
    )
    trainer.predict(task, loader, return_predictions=False)
    return output


def _cases(task: SegmentationTask, source: Path, layout: str | None) -> list[Case]:
    """Cases to segment, with the network's modalities; masks, where there are any, are ignored."""
    modalities, trained = task.context["modalities"], checkpoint_scheme(task)
    if source.suffix in (".csv", ".json"):
        codes = dict(trained.codes)
        found = index_table(source, codes, modalities, trained.regions, require_masks=False)
    else:
        found = index_dataset(source, layout, require_masks=False)
    return [
        replace(case.with_modalities(modalities), mask=None, scheme=_coding(case.scheme, trained))
        for case in found
    ]


def _coding(own: LabelScheme, trained: LabelScheme) -> LabelScheme:
    """The input's own coding, unless it has no value for a label that the network knows."""
    return own if set(trained.codes.values()) <= set(own.codes.values()) else trained
