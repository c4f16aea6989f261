"""What every run of a classical method begins with: data and split, a folder, what is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lightning_brats import console, runs
from lightning_brats.baselines.outcome import environment
from lightning_brats.baselines.scan import Baseline
from lightning_brats.data.datamodule import BratsDataModule
from lightning_brats.data.sources import CaseSource
from lightning_brats.errors import ConfigError
from lightning_brats.landmarks import keep_landmarks, with_landmarks
from lightning_brats.machine import Machine
from lightning_brats.parts import build, plain
from lightning_brats.postprocess import Postprocess
from lightning_brats.preparation import cache_root, prepare_source
from lightning_brats.splitting import (
    check_drawable,
    check_given,
    drawn_split,
    given_split,
    without_excluded,
)


def check_modalities(name: str, method: Baseline, source: CaseSource) -> None:
    """Refuse data without what the method looks at.

    Raises:
        ConfigError: A modality is missing.
    """
    missing = [modality for modality in method.needs if modality not in source.modalities]
    if missing:
        raise ConfigError(
            f"the method '{name}' needs {' and '.join(method.needs)}; the data have "
            f"{', '.join(source.modalities)}, so {' and '.join(missing)} is missing",
            remedy="give the modality (data.modalities), or choose method=random_forest or "
            "method=linear_svm, which take what there is",
        )


def chosen_postprocess(cfg: DictConfig) -> Postprocess:
    """The steps that clean the masks.

    Raises:
        ConfigError: They are to be tuned, which takes probabilities.
    """
    postprocess: Any = build(cfg.postprocess)
    if not isinstance(postprocess, Postprocess):
        raise ConfigError(
            "postprocess=tuned chooses thresholds of probabilities, and a classical method gives "
            "labels",
            remedy="choose postprocess=brats, default or none",
        )
    return postprocess


def prepared(
    cfg: DictConfig, source: CaseSource, run: Path | None = None
) -> tuple[DictConfig, BratsDataModule]:
    """The prepared cases and their split, as `experiments/run.py` with these settings has them.

    Args:
        cfg: Configuration of data, preprocessing and split.
        source: Its cases.
        run: Of a network, whose histogram landmarks are used where it has any.

    Returns:
        The configuration with the landmarks that were learnt, if any were to be; and the data.

    Raises:
        DataError: A case cannot be used, or there are too few.
        ConfigError: The split cannot be drawn, or has no cases to train or test on.
    """
    given = given_split(cfg, Path(), resumed=False)
    if given is None:
        check_drawable(cfg, source)
    else:
        given = without_excluded(given, source.excluded, resumed=False)
    with console.preparing() as progress:
        source = prepare_source(cfg, source, given, progress)
    if given is not None:
        given = without_excluded(given, source.excluded, resumed=False)
        given = check_given(cfg, source, given)
    split = given or drawn_split(cfg, source)
    for part in ("train", "test"):
        if not getattr(split, part):
            remedy = "change split.validation and split.test, or name some in split.file"
            raise ConfigError(f"the split has no {part} cases", remedy=remedy)
    with console.preparing() as progress:
        known, source = with_landmarks(cfg, source, split, run, progress)
    return known, BratsDataModule(
        source, build(known.preprocess), split=split, cache=cache_root(cfg), seed=cfg.seed
    )


def new_folder(cfg: DictConfig) -> Path:
    """A new `<runs>/<name>/<date-time>/`.

    Raises:
        DataError: It cannot be written to.
    """
    return runs.new_folder(Path(cfg.runs) / cfg.name)


def describe(
    cfg: DictConfig, known: DictConfig, folder: Path, data: BratsDataModule, machine: Machine
) -> None:
    """Write configuration, split, landmarks and environment into a run's folder.

    Args:
        cfg: As given.
        known: From `prepared`.
        folder: Of the run.
        data: Its cases.
        machine: It runs on.
    """
    content = plain(cfg)
    # Under the name that networks' runs have it, so that both are compared as models.
    content["model"] = content.pop("method")
    OmegaConf.save(OmegaConf.create(content), folder / "config.yaml")
    data.split.save(folder / "split.json")
    keep_landmarks(known, folder)
    runs.write_json(folder / "environment.json", environment(machine, cfg.seed))
