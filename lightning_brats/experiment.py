"""One experiment, from a configuration to a report: build, fit, tune, predict, evaluate, report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_module
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint

from lightning_brats import console, runs, tracking
from lightning_brats.callbacks import EpochTable, RandomState, SafeStop, TrainingProgress
from lightning_brats.data.datamodule import BratsDataModule
from lightning_brats.data.sources import CaseSource
from lightning_brats.data.splits import Split
from lightning_brats.machine import Machine, choose, detect
from lightning_brats.parts import build as build_part
from lightning_brats.prediction import context
from lightning_brats.preparation import cache_root, drawn_split, given_split
from lightning_brats.results import score_and_report
from lightning_brats.segmentation import segment_cases
from lightning_brats.task import SegmentationTask
from lightning_brats.tuning_run import Tuning

OURS = ("threads", "deep_supervision", "patience")
"""Keys of the trainer group that are not arguments of Lightning's Trainer."""


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
    source = _source(cfg)
    postprocess = build_part(cfg.postprocess)  # a mistake in it would show only after training
    given = given_split(cfg, folder, resumed)
    with console.preparing() as progress:
        split = given or drawn_split(cfg, source, progress)
        data = _data(cfg, source, split)
        data.progress = progress
        data.prepare_data()
    if isinstance(postprocess, Tuning):
        postprocess.check(split)
    console.heading(cfg, machine, source, split, folder)
    cfg = _resolve(cfg, machine, data)
    data.settings = build_part(cfg.queue)
    console.choices(cfg)
    torch.set_num_threads(cfg.trainer.threads)
    task = _task(cfg, source, data)
    folder.mkdir(parents=True, exist_ok=True)
    trainer = _trainer(cfg, folder, source)
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


def _source(cfg: DictConfig) -> CaseSource:
    arguments = OmegaConf.to_container(cfg.data, resolve=True)
    arguments.pop("cache")  # type: ignore[union-attr]
    return build_part(arguments)


def _data(cfg: DictConfig, source: CaseSource, split: Split) -> BratsDataModule:
    return BratsDataModule(
        source=source,
        preprocess=build_part(cfg.preprocess),
        split=split,
        transform=build_part(cfg.augmentation),
        cache=cache_root(cfg),
        seed=cfg.seed,
    )


def _resolve(cfg: DictConfig, machine: Machine, data: BratsDataModule) -> DictConfig:
    """Replace every `auto` by what fits the machine and the data."""
    cfg = cfg.copy()
    OmegaConf.resolve(cfg)
    OmegaConf.set_struct(cfg, True)
    devices = cfg.trainer.devices if isinstance(cfg.trainer.devices, int) else 1
    shape = data.typical_shape()
    best = choose(machine, max(devices, 1), shape, cfg.model.get("spatial_dims", 3))
    for group, keys in (
        (cfg.queue, ("patch_size", "batch_size", "workers")),
        (cfg.trainer, ("precision", "threads")),
    ):
        for key in keys:
            if group[key] == "auto":
                value = getattr(best, key)
                group[key] = list(value) if isinstance(value, tuple) else value
    if cfg.inference.patch_size == "auto":
        cfg.inference.patch_size = cfg.queue.patch_size
    return cfg


def _task(cfg: DictConfig, source: CaseSource, data: BratsDataModule) -> SegmentationTask:
    regions = source.scheme.regions
    channels = len(regions) if cfg.head == "regions" else 1 + max(source.scheme.codes.values())
    net = OmegaConf.to_container(cfg.model) | {  # type: ignore[operator]
        "in_channels": len(source.modalities),
        "out_channels": channels,
    }
    if cfg.trainer.deep_supervision:
        net["deep_supervision"] = True
    return SegmentationTask(
        net=net,
        loss=OmegaConf.to_container(cfg.loss),
        head=cfg.head,
        regions=regions,
        optimizer=OmegaConf.to_container(cfg.optimizer),
        scheduler=OmegaConf.to_container(cfg.scheduler),
        inference=OmegaConf.to_container(cfg.inference),
        context=context(source, data.preprocess)
        | {"postprocess": OmegaConf.to_container(cfg.postprocess.get("base", cfg.postprocess))},
    )


def _trainer(cfg: DictConfig, folder: Path, source: CaseSource) -> pl.Trainer:
    settings: dict[str, Any] = OmegaConf.to_container(cfg.trainer)  # type: ignore[assignment]
    ours = {key: settings.pop(key) for key in OURS}
    kept = {"dirpath": folder / "checkpoints", "enable_version_counter": False}
    callbacks: list[pl.Callback] = [
        EpochTable(folder / "metrics.csv"),
        TrainingProgress(),
        RandomState(),
        SafeStop(folder / runs.LAST, runs.continue_command()),
        ModelCheckpoint(filename="best", monitor="val/dice_mean", mode="max", **kept),
        ModelCheckpoint(filename="last", save_on_train_epoch_end=True, **kept),
    ]
    if ours["patience"]:
        callbacks.append(EarlyStopping("val/dice_mean", patience=ours["patience"], mode="max"))
    resolved = OmegaConf.to_container(cfg)
    logger = tracking.start(
        cfg.tracking, folder, f"{cfg.name} {folder.name}", source.name, resolved
    )
    return pl.Trainer(
        **settings,
        logger=logger or False,
        callbacks=callbacks,
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        log_every_n_steps=10,
    )
