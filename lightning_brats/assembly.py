"""The parts of an experiment, built from its configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint

from lightning_brats import runs, slurm, tracking
from lightning_brats.adversarial import CLIPPING, AdversarialTask, check_trainer, is_adversarial
from lightning_brats.callbacks import (
    AveragedWeights,
    CompiledNetwork,
    EpochTable,
    Pace,
    RandomState,
    SafeStop,
    ScoreSchedules,
    SkipNonFinite,
    StudyPruning,
    TrainingProgress,
)
from lightning_brats.checkpoints import SafeCheckpointIO
from lightning_brats.compatible import check_compatible
from lightning_brats.data.cohorts import check_same_tissues
from lightning_brats.data.datamodule import BratsDataModule
from lightning_brats.data.sources import CaseSource
from lightning_brats.data.splits import Split
from lightning_brats.errors import ConfigError
from lightning_brats.labels import LabelScheme
from lightning_brats.parts import build, plain
from lightning_brats.prediction import context
from lightning_brats.preparation import cache_root, find_source
from lightning_brats.slices import slab_slices
from lightning_brats.sweeps import reporting
from lightning_brats.synthesis.building import MONITOR, synthesises
from lightning_brats.task import SegmentationTask

OURS = (
    "threads",
    "deep_supervision",
    "patience",
    "ema",
    "max_skipped",
    "compile",
    "recompute",
    "tf32",
    "auto_fit",
)
"""Keys of the trainer group that are not arguments of Lightning's Trainer."""


NO_AUGMENTATION = "lightning_brats.data.transforms.none"
CHAIN = "lightning_brats.data.transforms.chain"


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
        transform=build(with_dropout(plain(cfg.augmentation), cfg.modality_dropout)),
        cache=cache_root(cfg),
        seed=cfg.seed,
    )


def with_dropout(augmentation: dict[str, Any], share: float) -> dict[str, Any]:
    """The configuration of an augmentation that takes modalities away at its end.

    Args:
        augmentation: With `_target_`.
        share: Probability that a modality goes; 0 leaves the augmentation as it is.

    Raises:
        ConfigError: The share is no probability below 1, or the augmentation is no chain.
    """
    if not 0 <= share < 1:
        raise ConfigError(f"modality_dropout={share}: must be at least 0 and less than 1")
    if not share:
        return augmentation
    if augmentation["_target_"] not in (NO_AUGMENTATION, CHAIN):
        raise ConfigError(
            f"modality_dropout={share} cannot be added to {augmentation['_target_']}",
            remedy=f"describe the augmentation as a {CHAIN}, as augmentation=custom does",
        )
    given = augmentation.get("transforms", [])
    steps = list(given.values() if isinstance(given, dict) else given)
    dropout = {
        "_target_": "lightning_brats.data.transforms.RandomModalityDropout",
        "p_per_channel": share,
    }
    return augmentation | {"_target_": CHAIN, "transforms": [*steps, dropout]}


def outputs(head: str, scheme: LabelScheme) -> int:
    """Channels that a network of this head has to give."""
    return len(scheme.regions) if head == "regions" else 1 + max(scheme.codes.values())


def inputs(cfg: DictConfig, source: CaseSource) -> int:
    """Channels that a network is given: modalities, times the slices of each."""
    return len(source.modalities) * slab_slices(cfg.queue.neighbours)


def network_config(cfg: DictConfig, source: CaseSource) -> dict[str, Any]:
    """Configuration of the network for the data at hand.

    Raises:
        ConfigError: Deep supervision of a network that has none, or what one with a discriminator
            cannot take.
    """
    net = plain(cfg.model) | {
        "in_channels": inputs(cfg, source),
        "out_channels": outputs(cfg.head, source.scheme),
    }
    if is_adversarial(net):
        check_trainer(cfg.trainer)
    segmenting = net.get("generator", net)
    if cfg.trainer.deep_supervision:
        if "deep_supervision" not in segmenting:
            raise ConfigError(
                f"the model '{cfg.model_name}' has no deep supervision",
                remedy="trainer.deep_supervision=false, or another model",
            )
        segmenting["deep_supervision"] = True
    return net


def build_task(cfg: DictConfig, source: CaseSource, data: BratsDataModule) -> SegmentationTask:
    """Network, loss, optimiser, schedule and inference for the data at hand.

    Raises:
        ConfigError: Deep supervision of a network that has none.
    """
    regions = source.scheme.regions
    loss, deep = plain(cfg.loss), cfg.trainer.deep_supervision
    net = network_config(cfg, source)
    if OmegaConf.is_list(deep):
        loss = {
            "_target_": "lightning_brats.losses.deeply_supervised",
            "loss": loss | {"_partial_": True},
            "weights": list(deep),
        }
    make: Callable[..., SegmentationTask] = SegmentationTask
    if is_adversarial(net):
        clipping = {key: cfg.trainer.get(key) for key in CLIPPING}
        make = partial(AdversarialTask, clipping=clipping)
    return make(
        net=net,
        loss=loss,
        head=cfg.head,
        regions=regions,
        optimizer=plain(cfg.optimizer),
        scheduler=plain(cfg.scheduler),
        inference=plain(cfg.inference),
        context=context(source, data.preprocess)
        | {
            "postprocess": plain(cfg.postprocess.get("base", cfg.postprocess)),
            "modality_dropout": cfg.modality_dropout,
        },
    )


def build_trainer(cfg: DictConfig, folder: Path, source: CaseSource) -> pl.Trainer:
    """Lightning's trainer with our table, progress, safe stop, checkpoints and tracker.

    Raises:
        ConfigError: Settings of it that do not go together.
    """
    check_compatible(cfg)
    settings = plain(cfg.trainer)
    ours = {key: settings.pop(key) for key in OURS}
    if is_adversarial(cfg.model):
        settings |= dict.fromkeys(CLIPPING)
    if torch.cuda.is_available():
        torch.set_float32_matmul_precision("high" if ours["tf32"] else "highest")
    torch.backends.cudnn.allow_tf32 = ours["tf32"]
    settings.setdefault("benchmark", not settings["deterministic"])  # patches are of one size
    callbacks = _callbacks(cfg, ours, folder, source)
    name = f"{cfg.name} {folder.name}"
    logger = tracking.start(plain(cfg.tracking), folder, name, source.name, plain(cfg))
    trainer = pl.Trainer(
        **settings,
        logger=logger or False,
        callbacks=callbacks,
        plugins=[SafeCheckpointIO(), *slurm.environment()],
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        log_every_n_steps=10,
    )
    # Where steps are limited, Lightning takes an epoch that a checkpoint closes for one that is
    # still open: a continuation would train a batch more in it, and end it twice.
    trainer.fit_loop._iteration_based_training = lambda: False  # type: ignore[method-assign]
    return trainer


def _callbacks(
    cfg: DictConfig, ours: Mapping[str, Any], folder: Path, source: CaseSource
) -> list[pl.Callback]:
    kept: dict[str, Any] = {"dirpath": folder / "checkpoints", "enable_version_counter": False}
    monitor, mode = (MONITOR, "min") if synthesises(cfg) else ("val/dice_mean", "max")
    pace = Pace()
    callbacks: list[pl.Callback] = [
        pace,
        EpochTable(folder / "metrics.csv", pace),
        TrainingProgress(pace),
        RandomState(),
        SkipNonFinite(ours["max_skipped"]),
        ScoreSchedules(),
        SafeStop(folder / runs.LAST, runs.continue_command()),
        # As soon as there is a score: a stop at the epoch's end would be raised before their turn.
        ModelCheckpoint(
            filename="best", monitor=monitor, mode=mode, save_on_train_epoch_end=False, **kept
        ),
        ModelCheckpoint(filename="last", save_on_train_epoch_end=True, **kept),
    ]
    if ours["compile"]:
        effort = "default" if ours["compile"] is True else ours["compile"]
        shape = (cfg.queue.batch_size, inputs(cfg, source), *cfg.queue.patch_size)
        callbacks.append(CompiledNetwork(shape, effort))
    if ours["ema"]:
        callbacks.insert(0, AveragedWeights(ours["ema"]))
    if ours["patience"]:
        callbacks.append(
            EarlyStopping(
                monitor, patience=ours["patience"], mode=mode, check_on_train_epoch_end=False
            )
        )
    if report := reporting.from_environment():
        callbacks.append(StudyPruning(report, folder / reporting.PRUNED, monitor))
    return callbacks
