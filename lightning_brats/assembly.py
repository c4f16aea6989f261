"""The parts of an experiment, built from its configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint

from lightning_brats import runs, tracking
from lightning_brats.callbacks import (
    AveragedWeights,
    EpochTable,
    Pace,
    RandomState,
    SafeStop,
    SkipNonFinite,
    TrainingProgress,
)
from lightning_brats.checkpoints import SafeCheckpointIO
from lightning_brats.data.cohorts import check_same_tissues
from lightning_brats.data.datamodule import BratsDataModule
from lightning_brats.data.sources import CaseSource
from lightning_brats.data.splits import Split
from lightning_brats.data.transforms import Chain, works_on_device
from lightning_brats.errors import ConfigError
from lightning_brats.labels import TISSUES, LabelScheme
from lightning_brats.losses import foreground_weights
from lightning_brats.machine import Machine, choose
from lightning_brats.parts import build, plain
from lightning_brats.prediction import context
from lightning_brats.preparation import cache_root, find_source
from lightning_brats.task import SegmentationTask

OURS = ("threads", "deep_supervision", "patience", "ema", "max_skipped")
"""Keys of the trainer group that are not arguments of Lightning's Trainer."""


def build_source(cfg: DictConfig) -> CaseSource:
    """Cases of the data sets that the configuration names, or of the phantom."""
    source = find_source(cfg)
    if cfg.head == "labels":
        check_same_tissues(source.schemes)
    return source


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
    _check_dimensions(cfg)
    _place_augmentation(cfg, machine, data)
    _weight_classes(cfg, data)
    if cfg.inference.patch_size == "auto":
        cfg.inference.patch_size = cfg.queue.patch_size
    return cfg


def _place_augmentation(cfg: DictConfig, machine: Machine, data: BratsDataModule) -> None:
    """Decide where patches are augmented, and tell the transforms."""
    if isinstance(data.transform, Chain) and "device" in cfg.augmentation:
        cuda = bool(machine.gpus) and cfg.trainer.accelerator in ("auto", "gpu", "cuda")
        on_device = works_on_device(data.transform, cuda, cfg.queue.margin)
        data.transform.device = cfg.augmentation.device = on_device


def _check_dimensions(cfg: DictConfig) -> None:
    dims, patch = cfg.model.get("spatial_dims"), list(cfg.queue.patch_size)
    if dims is not None and (dims == 2) != (1 in patch):
        raise ConfigError(
            f"a {dims}-D network cannot train on patches of {patch}",
            remedy="queue=slices goes with model.spatial_dims=2; without both, all is 3-D",
        )


def _weight_classes(cfg: DictConfig, data: BratsDataModule) -> None:
    """Replace `foreground: auto` of the loss, or of its terms, by weights from training voxels."""
    parts = [cfg.loss, *(term for term in cfg.loss.get("terms", []) if OmegaConf.is_dict(term))]
    wanting = [part for part in parts if part.get("foreground") == "auto"]
    if not wanting:
        return
    scheme = data.source.scheme
    voxels = np.zeros(len(TISSUES), np.int64)
    for entry in data.entries("train"):
        labelled = np.array(entry.meta["voxels"])  # of the labels from 1 on
        voxels += [np.prod(entry.shape) - labelled.sum(), *labelled]
    if cfg.head == "labels":  # one weight a class of the network
        voxels = voxels[: _outputs(cfg.head, scheme)]
    for part in wanting:
        part.foreground = foreground_weights(voxels.tolist(), cfg.head, scheme.regions)


def _outputs(head: str, scheme: LabelScheme) -> int:
    return len(scheme.regions) if head == "regions" else 1 + max(scheme.codes.values())


def build_task(cfg: DictConfig, source: CaseSource, data: BratsDataModule) -> SegmentationTask:
    """Network, loss, optimiser, schedule and inference for the data at hand.

    Raises:
        ConfigError: Deep supervision of a network that has none.
    """
    regions = source.scheme.regions
    loss, deep = plain(cfg.loss), cfg.trainer.deep_supervision
    net = plain(cfg.model) | {
        "in_channels": len(source.modalities),
        "out_channels": _outputs(cfg.head, source.scheme),
    }
    if deep:
        if "deep_supervision" not in net:
            raise ConfigError(
                f"the model '{cfg.model_name}' has no deep supervision",
                remedy="trainer.deep_supervision=false, or another model",
            )
        net["deep_supervision"] = True
    if OmegaConf.is_list(deep):
        loss = {
            "_target_": "lightning_brats.losses.deeply_supervised",
            "loss": loss | {"_partial_": True},
            "weights": list(deep),
        }
    return SegmentationTask(
        net=net,
        loss=loss,
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
    pace = Pace()
    callbacks: list[pl.Callback] = [
        pace,
        EpochTable(folder / "metrics.csv", pace),
        TrainingProgress(pace),
        RandomState(),
        SkipNonFinite(ours["max_skipped"]),
        SafeStop(folder / runs.LAST, runs.continue_command()),
        ModelCheckpoint(filename="best", monitor="val/dice_mean", mode="max", **kept),
        ModelCheckpoint(filename="last", save_on_train_epoch_end=True, **kept),
    ]
    if ours["ema"]:
        callbacks.insert(0, AveragedWeights(ours["ema"]))
    if ours["patience"]:
        callbacks.append(EarlyStopping("val/dice_mean", patience=ours["patience"], mode="max"))
    name = f"{cfg.name} {folder.name}"
    logger = tracking.start(plain(cfg.tracking), folder, name, source.name, plain(cfg))
    return pl.Trainer(
        **settings,
        logger=logger or False,
        callbacks=callbacks,
        plugins=[SafeCheckpointIO()],
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        log_every_n_steps=10,
    )
