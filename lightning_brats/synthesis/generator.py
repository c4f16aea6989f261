"""A trained generator with the data of its run, found from the run's folder."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf

from lightning_brats import console, runs
from lightning_brats.data.case import Case
from lightning_brats.data.datamodule import BratsDataModule
from lightning_brats.data.splits import Split
from lightning_brats.errors import ConfigError
from lightning_brats.parts import build
from lightning_brats.preparation import cache_root, find_source, prepare_source
from lightning_brats.synthesis.building import synthesises
from lightning_brats.synthesis.task import SynthesisTask
from lightning_brats.synthesis.writing import check_reversible

EXAMPLE = "checkpoint=runs/mask2mri/<date-time>, of python experiments/run.py model=mask2mri"


@dataclass(frozen=True)
class Generator:
    """A trained generator with the data of its run.

    Args:
        run: The run's folder.
        checkpoint: Its weights.
        task: The same, loaded.
        data: Cases and split of the run.
    """

    run: Path
    checkpoint: Path
    task: SynthesisTask
    data: BratsDataModule

    @property
    def cases(self) -> list[Case]:
        """Training cases that are real: donors, hosts, and what it learned from."""
        return [case for case in self.data.cases("train") if not case.synthetic]

    @property
    def digest(self) -> str:
        """Tells generators apart; part of the identifiers of what they make."""
        return hashlib.sha256(self.checkpoint.read_bytes()).hexdigest()


def load_generator(where: Path, root: str | None = None) -> Generator:
    """A trained generator and the data of its run.

    Args:
        where: The run's folder, or a checkpoint in it; of a folder the last weights.
        root: The data set, where it is not where the run found it.

    Raises:
        ConfigError: It is no run of a generator, or see `check_reversible`.
        DataError: The data are not where they were.
    """
    where = where.resolve()
    checkpoint = where if where.suffix == ".ckpt" else where / runs.LAST
    folder = checkpoint.parent.parent
    config = folder / "config.yaml"
    for path in (checkpoint, config, folder / "split.json"):
        if not path.is_file():
            raise ConfigError("not a finished run of a generator", file=path, remedy=EXAMPLE)
    cfg = OmegaConf.load(config)
    assert isinstance(cfg, DictConfig)
    if not synthesises(cfg):
        raise ConfigError(
            f"the run trained {cfg.model_name}, which segments", file=folder, remedy=EXAMPLE
        )
    if root is not None:
        cfg.data.root = root
    preprocess = build(cfg.preprocess)
    check_reversible(preprocess)
    split = Split.load(folder / "split.json")
    with console.preparing() as progress:
        source = prepare_source(cfg, find_source(cfg), split, progress)
    data = BratsDataModule(source, preprocess, split=split, cache=cache_root(cfg), seed=cfg.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    task = SynthesisTask.load_from_checkpoint(checkpoint, map_location=device, weights_only=True)
    return Generator(folder, checkpoint, task.eval(), data)
