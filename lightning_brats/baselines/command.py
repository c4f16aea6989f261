"""`experiments/baseline.py`: fit a classical method, segment, score and report.

It leaves a folder like that of a network's run, `<runs>/<name>/<date-time>/`, without weights.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module
from omegaconf import DictConfig, OmegaConf

from lightning_brats import console, runs
from lightning_brats.baselines.outcome import conclude, environment
from lightning_brats.baselines.scan import Baseline, Scans
from lightning_brats.baselines.segmenting import segment_part
from lightning_brats.data.audit import check_writable
from lightning_brats.data.cohorts import check_same_tissues
from lightning_brats.data.datamodule import BratsDataModule
from lightning_brats.data.sources import CaseSource
from lightning_brats.errors import ConfigError
from lightning_brats.machine import Machine, detect
from lightning_brats.parts import build, plain
from lightning_brats.postprocess import Postprocess
from lightning_brats.preparation import cache_root, find_source, prepare_source
from lightning_brats.segmentation import VALIDATION
from lightning_brats.splitting import (
    check_drawable,
    check_given,
    drawn_split,
    given_split,
    without_excluded,
)


def configure(*overrides: str) -> DictConfig:
    """The configuration that `experiments/baseline.py` with these overrides would use.

    Args:
        overrides: As on the command line, e.g. `method=kmeans`, `method.clusters=8`.
    """
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        chosen = compose("baseline", list(overrides), return_hydra_config=True)
        cfg = compose("baseline", list(overrides))
    cfg.model_name = chosen.hydra.runtime.choices.method
    return cfg


def run(cfg: DictConfig) -> Path:
    """Fit on training cases, segment and score the test cases, report; returns the run's folder.

    In a fold the validation cases are segmented too, for `experiments/evaluate.py runs=…`.

    Raises:
        BratsError: Something the user can put right.
    """
    machine = detect()
    console.quieten()
    source = find_source(cfg)
    check_same_tissues(source.schemes)
    method: Baseline = build(cfg.method)
    check_modalities(cfg.model_name, method, source)
    postprocess = chosen_postprocess(cfg)
    data = prepared(cfg, source)
    folder = new_folder(cfg)
    console.heading(cfg, machine, data.source, data.split, folder)
    console.excluded(data.source.excluded)
    _describe(cfg, folder, data, machine)
    began = time.perf_counter()
    scans = Scans(data.entries("train"), data.source.modalities, labelled=True)
    with console.counting("fitting", "steps") as progress:
        progress(0, 1)
        found = method.fit(scans, cfg.seed)
        progress(1, 1)
    train_seconds = time.perf_counter() - began
    if data.split.fold is not None:
        segment_part(method, data, "validation", folder / VALIDATION, postprocess)
    seconds = segment_part(method, data, "test", folder / "predictions", postprocess)
    conclude(folder, cfg, data, found, {"train": train_seconds, "case": seconds})
    return folder


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


def prepared(cfg: DictConfig, source: CaseSource) -> BratsDataModule:
    """The prepared cases and their split, as `experiments/run.py` with these settings has them.

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
        check_given(cfg, source, given)
    split = given or drawn_split(cfg, source)
    for part in ("train", "test"):
        if not getattr(split, part):
            remedy = "change split.validation and split.test, or name some in split.file"
            raise ConfigError(f"the split has no {part} cases", remedy=remedy)
    return BratsDataModule(
        source, build(cfg.preprocess), split=split, cache=cache_root(cfg), seed=cfg.seed
    )


def new_folder(cfg: DictConfig) -> Path:
    """A new `<runs>/<name>/<date-time>/`; of two runs in one second the later gets the next one.

    Raises:
        DataError: It cannot be written to.
    """
    parent = (Path(cfg.runs) / cfg.name).resolve()
    check_writable(parent)
    began = datetime.now()
    while True:
        folder = parent / began.strftime("%Y-%m-%d_%H-%M-%S")
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            began += timedelta(seconds=1)


def _describe(cfg: DictConfig, folder: Path, data: BratsDataModule, machine: Machine) -> None:
    content = plain(cfg)
    # Under the name that networks' runs have it, so that both are compared as models.
    content["model"] = content.pop("method")
    OmegaConf.save(OmegaConf.create(content), folder / "config.yaml")
    data.split.save(folder / "split.json")
    runs.write_json(folder / "environment.json", environment(machine, cfg.seed))
