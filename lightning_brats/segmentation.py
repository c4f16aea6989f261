"""After training: which cases the best weights segment, and with which post-processing.

Shapes: `K` outputs, `x y z` a cropped volume.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from lightning_brats import console, tuning_run
from lightning_brats.data.datamodule import BratsDataModule
from lightning_brats.evaluation.confidence import Confidence, case_calibration
from lightning_brats.evaluation.reliability import Calibration
from lightning_brats.inference import predicted_dice
from lightning_brats.postprocess import Postprocess, region_probabilities
from lightning_brats.prediction import PredictionWriter
from lightning_brats.task import SegmentationTask
from lightning_brats.tuning_run import ProbabilityWriter, Tuning

VALIDATION = "predictions_validation"
"""Folder of a fold's masks of its validation cases, and their scores."""
COST = "inference.json"
"""What segmenting the test cases took, for the run's summary."""


def segment_cases(
    trainer: pl.Trainer,
    task: SegmentationTask,
    data: BratsDataModule,
    checkpoint: Path,
    postprocess: Postprocess | Tuning,
) -> None:
    """Write masks of the test cases into `<run>/predictions`, and how sure the network is of them.

    The latter goes into `<run>/predicted_dice.csv` and `<run>/calibration.csv`.

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
    kept = ProbabilityWriter(run / tuning_run.PROBABILITIES, data.split.validation)
    writers: list[pl.Callback] = [kept] if tuning else []
    if data.split.fold is not None:
        folder = run / VALIDATION
        writers += [PredictionWriter(folder, final), ConfidenceWriter(folder)]
    if writers:
        _segment(trainer, task, data, "validation", checkpoint, writers)
    if tuning:
        if trainer.is_global_zero:
            fold = data.split.fold is not None  # its ensemble will be tuned on all folds
            tuning_run.choose(kept.folder, run, checkpoint, tuning, task, keep=fold)
        trainer.strategy.barrier()
        final = tuning_run.chosen(run)
    writers = [PredictionWriter(run / "predictions", final), ConfidenceWriter(run)]
    seconds = _segment(trainer, task, data, "test", checkpoint, writers)
    if trainer.is_global_zero:
        (run / COST).write_text(json.dumps({"seconds_per_case": seconds}) + "\n")


class ConfidenceWriter(pl.Callback):
    """Keeps what the network says of each volume, and how often it is right, in two tables.

    Calibration is measured in the brain, which is where any modality is not 0.

    Args:
        folder: Gets `predicted_dice.csv` and `calibration.csv` when all volumes are done.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._predicted: dict[str, dict[str, float]] = {}
        self._calibrations: dict[str, dict[str, Calibration]] = {}

    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: torch.Tensor,
        batch: dict[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Measure one case."""
        assert isinstance(pl_module, SegmentationTask)
        if not batch["counted"]:
            return
        case, regions = batch["origin"].case.case, pl_module.regions
        probabilities = outputs.float()  # (K, x, y, z)
        self._predicted[case] = predicted_dice(probabilities, pl_module.head, regions)
        soft = region_probabilities(probabilities.cpu().numpy(), regions, pl_module.head)
        labels = batch["mask"][0, 0].cpu().numpy()
        brain = (batch["image"][0] != 0).any(0).cpu().numpy()
        self._calibrations[case] = case_calibration(soft, labels, regions, brain)

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the cases of all ranks, by name."""
        parts: list[Any] = [(self._predicted, self._calibrations)]
        if trainer.world_size > 1:
            parts = [None] * trainer.world_size
            own = (self._predicted, self._calibrations)
            torch.distributed.all_gather_object(parts, own)
        if trainer.is_global_zero:
            predicted, calibrations = (
                dict(sorted((case, found) for part in parts for case, found in part[kind].items()))
                for kind in (0, 1)
            )
            Confidence.of(predicted, calibrations).write(self.folder)


class CaseCounter(pl.Callback):
    """Tells how far predicting is, and how long a case takes on one device.

    Args:
        total: Cases of all ranks.
        progress: Called with (cases done, cases in all).
    """

    def __init__(self, total: int, progress: Callable[[int, int], None]) -> None:
        self.total, self.progress = total, progress
        self._done = self._own = 0
        self._began = 0.0
        self.seconds_per_case = 0.0
        """Of reading, network, mask and confidence; mean over this rank's cases."""

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say what is to come, and start the clock."""
        self._began = time.perf_counter()
        self.progress(0, self.total)

    def on_predict_batch_end(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        """Count a case; the other ranks are about as far as this one."""
        self._own += 1
        self._done = min(self._done + trainer.world_size, self.total)
        self.progress(self._done, self.total)

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the clock."""
        self.seconds_per_case = (time.perf_counter() - self._began) / max(self._own, 1)


def _segment(
    trainer: pl.Trainer,
    task: SegmentationTask,
    data: BratsDataModule,
    part: str,
    checkpoint: Path,
    writers: Sequence[pl.Callback],
) -> float:
    """Predict the volumes of a part of the split, each writer seeing every one of them.

    Returns:
        Seconds a case.
    """
    volumes: DataLoader = data.test_dataloader() if part == "test" else data.val_dataloader()
    others = list(trainer.callbacks)  # type: ignore[attr-defined]
    with console.counting("segmenting", f"{part} cases", trainer.is_global_zero) as progress:
        counter = CaseCounter(len(data.cases(part)), progress)
        trainer.callbacks = [*others, *writers, counter]  # type: ignore[attr-defined]
        trainer.predict(task, volumes, ckpt_path=checkpoint, return_predictions=False)
    trainer.callbacks = others  # type: ignore[attr-defined]
    trainer.strategy.barrier()
    return counter.seconds_per_case
