"""One experiment, from a configuration to a report: build, fit, tune, predict, evaluate, report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_module
from omegaconf import DictConfig, OmegaConf

from lightning_brats import assembly, console, runs
from lightning_brats.checkpoints import newest_intact
from lightning_brats.data.datamodule import BratsDataModule
from lightning_brats.data.sources import CaseSource
from lightning_brats.data.splits import Split
from lightning_brats.errors import ConfigError
from lightning_brats.landmarks import keep_landmarks, with_landmarks
from lightning_brats.machine import Machine, detect
from lightning_brats.memory import explained_shortage
from lightning_brats.models.recompute import recompute
from lightning_brats.parts import build as build_part
from lightning_brats.parts import check_arguments
from lightning_brats.preparation import prepare_source
from lightning_brats.resolving import check_auto_fit, check_end, resolve
from lightning_brats.results import score_and_report
from lightning_brats.segmentation import segment_cases
from lightning_brats.slurm import requeued_by_signal
from lightning_brats.splitting import (
    check_drawable,
    check_given,
    drawn_split,
    given_split,
    without_excluded,
)
from lightning_brats.synthesis.building import build_synthesis, synthesises
from lightning_brats.synthesis.outcome import score_images
from lightning_brats.synthesis.task import SynthesisTask
from lightning_brats.task import SegmentationTask
from lightning_brats.tuning_run import Tuning
from lightning_brats.warmstart import freeze, warm_start

PARTS = ("model", "loss", "augmentation", "optimizer", "scheduler", "inference")
"""Groups of the configuration whose choices have arguments of their own."""


@dataclass
class Experiment:
    """The built parts of a run.

    Args:
        cfg: Resolved configuration, `auto` replaced.
        folder: Where results go.
        resumed: Whether a stopped run goes on.
        data: Cases, cache and queue.
        task: Network, loss, optimiser.
        trainer: Lightning's.
        machine: Hardware it runs on.
    """

    cfg: DictConfig
    folder: Path
    resumed: bool
    data: BratsDataModule
    task: SegmentationTask | SynthesisTask
    trainer: pl.Trainer
    machine: Machine


def configure(*overrides: str) -> DictConfig:
    """The configuration that `experiments/run.py` with these overrides would use.

    Args:
        overrides: As on the command line, e.g. `model=unet`, `trainer.max_epochs=50`.
    """
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        chosen = compose("run", list(overrides), return_hydra_config=True)
        cfg = compose("run", list(overrides))
    cfg.model_name = chosen.hydra.runtime.choices.model
    return cfg


@requeued_by_signal()
def run(cfg: DictConfig) -> Path:
    """Train, test, score and report; returns the run's folder.

    Raises:
        BratsError: Something the user can put right, before training starts.
    """
    experiment = build(cfg)
    fit(experiment)
    task = experiment.task
    if isinstance(task, SegmentationTask):
        predict(experiment)
    if experiment.trainer.is_global_zero:
        about = experiment.folder, cfg.model_name, experiment.data
        if isinstance(task, SynthesisTask):
            score_images(*about, task, experiment.trainer)
        else:
            score_and_report(*about, task, experiment.trainer)
    experiment.trainer.strategy.barrier()
    return experiment.folder


def build(cfg: DictConfig) -> Experiment:
    """Check the input, prepare the data and build every part."""
    machine = detect()
    console.quieten()
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    folder, resumed = runs.run_folder(cfg)
    with runs.removed_if_unused(folder):
        return _built(cfg, machine, folder, resumed)


def _built(cfg: DictConfig, machine: Machine, folder: Path, resumed: bool) -> Experiment:
    before: Any = OmegaConf.load(folder / "config.yaml") if resumed else None
    if before is None:
        check_auto_fit(cfg, machine)
    check_end(cfg)
    check_arguments(cfg, PARTS)
    postprocess = build_part(cfg.postprocess)  # a mistake in it would show only after training
    source, split = _cases(cfg, folder, resumed)
    _check_watched(cfg, split)
    if isinstance(postprocess, Tuning):
        postprocess.check(split)
    with console.preparing() as progress:
        known, source = with_landmarks(cfg, source, split, folder, progress)
    data = assembly.build_data(known, source, split)
    console.heading(cfg, machine, source, split, folder)
    console.excluded(source.excluded)
    cfg = resolve(cfg, machine, data, before)
    data.settings = build_part(cfg.queue)
    console.choices(cfg)
    torch.set_num_threads(cfg.trainer.threads)
    task = _task(cfg, source, data, resumed)
    folder.mkdir(parents=True, exist_ok=True)
    trainer = assembly.build_trainer(cfg, folder, source)
    if trainer.is_global_zero:
        OmegaConf.save(cfg, folder / "config.yaml")
        split.save(folder / "split.json")
        keep_landmarks(known, folder)
        environment = runs.describe_environment(machine, cfg.seed)
        runs.write_json(folder / "environment.json", environment)
    return Experiment(cfg, folder, resumed, data, task, trainer, machine)


def _cases(cfg: DictConfig, folder: Path, resumed: bool) -> tuple[CaseSource, Split]:
    """The cases that can be used, prepared, and which part each belongs to."""
    source = assembly.build_source(cfg)
    given = given_split(cfg, folder, resumed)
    if given is None:
        check_drawable(cfg, source)
    else:
        given = without_excluded(given, source.excluded, resumed)
    with console.preparing() as progress:
        source = prepare_source(cfg, source, given, progress)
    if given is not None:
        given = without_excluded(given, source.excluded, resumed)
        given = check_given(cfg, source, given)
    split = given or drawn_split(cfg, source)
    if not split.test:
        raise ConfigError(
            "the split has no test cases, so there would be nothing to report",
            remedy="split.test=0.2, or name some in split.file",
        )
    return source, split


def _check_watched(cfg: DictConfig, split: Split) -> None:
    """Refuse to wait for a score that there will never be."""
    if cfg.trainer.patience and not split.validation:
        raise ConfigError(
            f"trainer.patience={cfg.trainer.patience} counts validations, and the split has no "
            "validation cases",
            remedy="split.validation=0.1, or trainer.patience=null",
        )


def _task(
    cfg: DictConfig, source: CaseSource, data: BratsDataModule, resumed: bool
) -> SegmentationTask | SynthesisTask:
    task: SegmentationTask | SynthesisTask
    if synthesises(cfg):
        task = build_synthesis(cfg, source, data)
    else:
        task = assembly.build_task(cfg, source, data)
    if cfg.weights and not resumed and isinstance(task, SegmentationTask):
        console.started_from(cfg.weights, warm_start(task, Path(cfg.weights)))
    if cfg.freeze:
        freeze(task.net, cfg.freeze)
    if cfg.trainer.recompute:
        recompute(task.net)
    return task


def fit(experiment: Experiment) -> None:
    """Train, from the start or from where the run stopped.

    Raises:
        ConfigError: The saved state is damaged, or memory is short.
    """
    checkpoint = None
    if experiment.resumed:
        checkpoint, damaged = newest_intact(experiment.folder / "checkpoints")
        if damaged and experiment.trainer.is_global_zero:
            console.passed_over(damaged, checkpoint)
    with explained_shortage(experiment.cfg):
        experiment.trainer.fit(
            experiment.task, experiment.data, ckpt_path=checkpoint, weights_only=True
        )


def predict(experiment: Experiment) -> None:
    """Segment the test cases with the best weights; see `segment_cases`."""
    best = experiment.folder / "checkpoints" / "best.ckpt"
    assert isinstance(experiment.task, SegmentationTask)
    segment_cases(
        experiment.trainer,
        experiment.task,
        experiment.data,
        best if best.exists() else experiment.folder / runs.LAST,
        build_part(experiment.cfg.postprocess),
    )
