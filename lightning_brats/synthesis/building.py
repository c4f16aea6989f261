"""The training task of `model=mask2mri`, from a run's configuration."""

from __future__ import annotations

from omegaconf import DictConfig

from lightning_brats.data.datamodule import BratsDataModule
from lightning_brats.data.sources import CaseSource
from lightning_brats.errors import ConfigError
from lightning_brats.parts import plain
from lightning_brats.prediction import context
from lightning_brats.synthesis.condition import input_channels
from lightning_brats.synthesis.task import SynthesisTask
from lightning_brats.synthesis.tissues import find_colours

MONITOR = "val/mae_tumour"
"""What a training is validated by; the last weights are used all the same, since an adversary makes
images more like real ones at the cost of this error."""
PLATEAU = "lightning_brats.optim.plateau"


def synthesises(cfg: DictConfig) -> bool:
    """Whether a configuration trains a generator of images instead of a segmentation."""
    return str(cfg.model.get("_target_", "")).startswith("lightning_brats.synthesis.")


def build_synthesis(cfg: DictConfig, source: CaseSource, data: BratsDataModule) -> SynthesisTask:
    """Generator, discriminator, optimiser and schedule for the data at hand.

    Raises:
        ConfigError: A setting that is for segmentations alone.
        DataError: The training cases have hardly any healthy voxels.
    """
    check(cfg)
    channels = len(source.modalities)
    entries = data.entries("train")
    net = plain(cfg.model) | {
        "in_channels": input_channels(channels),
        "out_channels": channels,
    }
    return SynthesisTask(
        net=net,
        colours=find_colours(entries, source.modalities, cfg.seed),
        patch_size=list(cfg.queue.patch_size),
        optimizer=plain(cfg.optimizer),
        scheduler=plain(cfg.scheduler),
        context=context(source, data.preprocess),
    )


def check(cfg: DictConfig) -> None:
    """Refuse settings that mean nothing to a generator.

    Raises:
        ConfigError: One is given.
    """
    used = {
        "trainer.compile": cfg.trainer.compile,
        "trainer.auto_fit": cfg.trainer.auto_fit,
        "trainer.deep_supervision": cfg.trainer.deep_supervision,
        "model.deep_supervision": cfg.model.get("deep_supervision"),
        "modality_dropout": cfg.modality_dropout,
        "weights": cfg.weights,
    }
    given = [name for name, value in used.items() if value]
    if given:
        raise ConfigError(
            f"model={cfg.model_name} cannot be trained with {', '.join(given)}",
            remedy=f"leave {'them' if len(given) > 1 else 'it'} out: these are for segmentations",
        )
    if plain(cfg.scheduler).get("_target_") == PLATEAU:
        raise ConfigError(
            f"model={cfg.model_name} cannot train by scheduler=plateau, which follows a Dice "
            "that a generator does not have",
            remedy="scheduler=poly, cosine, one_cycle or constant",
        )
    if 1 in cfg.queue.patch_size:
        raise ConfigError(
            f"model={cfg.model_name} generates volumes, and patches are "
            f"{list(cfg.queue.patch_size)}",
            remedy="give patches of three axes, e.g. queue.patch_size=[64,64,64]",
        )
