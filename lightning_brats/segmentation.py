"""After training: which cases the best weights segment, and with which post-processing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytorch_lightning as pl
from torch.utils.data import DataLoader

from lightning_brats import tuning_run
from lightning_brats.data.datamodule import BratsDataModule
from lightning_brats.postprocess import Postprocess
from lightning_brats.prediction import PredictionWriter
from lightning_brats.task import SegmentationTask
from lightning_brats.tuning_run import ProbabilityWriter, Tuning

VALIDATION = "predictions_validation"
"""Folder of a fold's masks of its validation cases, and their scores."""


def segment_cases(
    trainer: pl.Trainer,
    task: SegmentationTask,
    data: BratsDataModule,
    checkpoint: Path,
    postprocess: Postprocess | Tuning,
) -> None:
    """Write masks of the test cases into `<run>/predictions`.

    Before that, post-processing is tuned where it is to be, and in a fold the validation cases are
    segmented into `<run>/predictions_validation`. These are made without what was tuned on
    themselves, which would flatter their scores.

    Args:
        trainer: What trained the task; knows the run's folder.
        task: The network.
        data: Its cases.
        checkpoint: Weights to use.
        postprocess: Probabilities → labels, or how to choose that.
    """
    run = Path(trainer.default_root_dir)
    tuning = postprocess if isinstance(postprocess, Tuning) else None
    final = postprocess.base if isinstance(postprocess, Tuning) else postprocess
    kept = ProbabilityWriter(run / "probabilities", data.split.validation)
    writers: list[pl.Callback] = [kept] if tuning else []
    if data.split.fold is not None:
        writers.append(PredictionWriter(run / VALIDATION, final))
    if writers:
        _segment(trainer, task, data.val_dataloader(), checkpoint, writers)
    if tuning:
        if trainer.is_global_zero:
            tuning_run.choose(kept.folder, run, checkpoint, tuning, task)
        trainer.strategy.barrier()
        final = tuning_run.chosen(run)
    writer = PredictionWriter(run / "predictions", final)
    _segment(trainer, task, data.test_dataloader(), checkpoint, [writer])


def _segment(
    trainer: pl.Trainer,
    task: SegmentationTask,
    volumes: DataLoader,
    checkpoint: Path,
    writers: Sequence[pl.Callback],
) -> None:
    """Predict volumes, each writer seeing every one of them."""
    others = list(trainer.callbacks)  # type: ignore[attr-defined]
    trainer.callbacks = [*others, *writers]  # type: ignore[attr-defined]
    trainer.predict(task, volumes, ckpt_path=checkpoint, return_predictions=False)
    trainer.callbacks = others  # type: ignore[attr-defined]
    trainer.strategy.barrier()
