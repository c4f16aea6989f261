"""The parts of an experiment, built from its configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint

from lightning_brats import runs, tracking
from lightning_brats.callbacks import EpochTable, RandomState, SafeStop, TrainingProgress
from lightning_brats.data.datamodule import BratsDataModule
from lightning_brats.data.sources import CaseSource
from lightning_brats.data.splits import Split
from lightning_brats.errors import ConfigError
from lightning_brats.machine import Machine, choose
from lightning_brats.parts import build, plain
from lightning_brats.prediction import context
from lightning_brats.preparation import cache_root
from lightning_brats.task import SegmentationTask

OURS = ("threads", "deep_supervision", "patience")
"""Keys of the trainer group that are not arguments of Lightning's Trainer."""


def build_source(cfg: DictConfig) -> CaseSource:
    """Cases of the data set that the configuration names, or of the phantom."""
    arguments = plain(cfg.data)
    arguments.pop("cache")
    return build(arguments)


def build_data(cfg: DictConfig, source: CaseSource, split: Split) -> BratsDataModule:
    """Data module with the queue's settings still to come: `auto` needs the prepared cases."""
    return BratsDataModule(
        source=source,
        preprocess=build(cfg.preprocess),
        split=split,
        transform=build(cfg.augmentation),
        cache=cache_root(cfg),
        seed=cfg.seed,
    )


def resolve(cfg: DictConfig, machine: Machine, data: BratsDataModule) -> DictConfig:
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


def build_task(cfg: DictConfig, source: CaseSource, data: BratsDataModule) -> SegmentationTask:
    """Network, loss, optimiser, schedule and inference for the data at hand.

    Raises:
        ConfigError: Deep supervision of a network that has none.
    """
    regions = source.scheme.regions
    channels = len(regions) if cfg.head == "regions" else 1 + max(source.scheme.codes.values())
    net = plain(cfg.model) | {
        "in_channels": len(source.modalities),
        "out_channels": channels,
    }
    if cfg.trainer.deep_supervision:
        if "deep_supervision" not in net:
            raise ConfigError(
                f"the model '{cfg.model_name}' has no deep supervision",
                remedy="trainer.deep_supervision=false, or another model",
            )
        net["deep_supervision"] = True
    return SegmentationTask(
        net=net,
        loss=plain(cfg.loss),
        head=cfg.head,
        regions=regions,
        optimizer=plain(cfg.optimizer),
        scheduler=plain(cfg.scheduler),
        inference=plain(cfg.inference),
        context=context(source, data.preprocess)
        | {"postprocess": plain(cfg.postprocess.get("base", cfg.postprocess))},
    )


def build_trainer(cfg: DictConfig, folder: Path, source: CaseSource) -> pl.Trainer:
    """Lightning's trainer with our table, progress, safe stop, checkpoints and tracker."""
    settings = plain(cfg.trainer)
    ours = {key: settings.pop(key) for key in OURS}
    kept: dict[str, Any] = {"dirpath": folder / "checkpoints", "enable_version_counter": False}
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
    name = f"{cfg.name} {folder.name}"
    logger = tracking.start(plain(cfg.tracking), folder, name, source.name, plain(cfg))
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
