"""One experiment, from a configuration to a report: build, fit, tune, predict, evaluate, report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_module
from omegaconf import DictConfig, OmegaConf

from lightning_brats import assembly, console, runs
from lightning_brats.data.datamodule import BratsDataModule
from lightning_brats.errors import ConfigError
from lightning_brats.machine import Machine, detect
from lightning_brats.parts import build as build_part
from lightning_brats.preparation import drawn_split, given_split
from lightning_brats.results import score_and_report
from lightning_brats.segmentation import segment_cases
from lightning_brats.task import SegmentationTask
from lightning_brats.tuning_run import Tuning


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
    task: SegmentationTask
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


def run(cfg: DictConfig) -> Path:
    """Train, test, score and report; returns the run's folder.

    Raises:
        BratsError: Something the user can put right, before training starts.
    """
    experiment = build(cfg)
    fit(experiment)
    predict(experiment)
    if experiment.trainer.is_global_zero:
        score_and_report(
            experiment.folder,
            cfg.model_name,
            experiment.data,
            experiment.task,
            experiment.trainer,
        )
    experiment.trainer.strategy.barrier()
    return experiment.folder


def build(cfg: DictConfig) -> Experiment:
    """Check the input, prepare the data and build every part."""
    machine = detect()
    console.quieten()
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    folder, resumed = runs.run_folder(cfg)
    source = assembly.build_source(cfg)
    postprocess = build_part(cfg.postprocess)  # a mistake in it would show only after training
    given = given_split(cfg, folder, resumed)
    with console.preparing() as progress:
        split = given or drawn_split(cfg, source, progress)
        data = assembly.build_data(cfg, source, split)
        data.progress = progress
        data.prepare_data()
    if not split.test:
        raise ConfigError(
            "the split has no test cases, so there would be nothing to report",
            remedy="split.test=0.2, or name some in split.file",
        )
    if isinstance(postprocess, Tuning):
        postprocess.check(split)
    console.heading(cfg, machine, source, split, folder)
    cfg = assembly.resolve(cfg, machine, data)
    data.settings = build_part(cfg.queue)
    console.choices(cfg)
    torch.set_num_threads(cfg.trainer.threads)
    task = assembly.build_task(cfg, source, data)
    folder.mkdir(parents=True, exist_ok=True)
    trainer = assembly.build_trainer(cfg, folder, source)
    if trainer.is_global_zero:
        OmegaConf.save(cfg, folder / "config.yaml")
        split.save(folder / "split.json")
        environment = runs.describe_environment(machine, cfg.seed)
        runs.write_json(folder / "environment.json", environment)
    return Experiment(cfg, folder, resumed, data, task, trainer, machine)


def fit(experiment: Experiment) -> None:
    """Train, from the start or from where the run stopped."""
    checkpoint = experiment.folder / runs.LAST if experiment.resumed else None
    experiment.trainer.fit(
        experiment.task, experiment.data, ckpt_path=checkpoint, weights_only=True
    )


def predict(experiment: Experiment) -> None:
    """Segment the test cases with the best weights; see `segment_cases`."""
    best = experiment.folder / "checkpoints" / "best.ckpt"
    segment_cases(
        experiment.trainer,
        experiment.task,
        experiment.data,
        best if best.exists() else experiment.folder / runs.LAST,
        build_part(experiment.cfg.postprocess),
    )
