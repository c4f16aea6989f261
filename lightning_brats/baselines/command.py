"""`experiments/baseline.py`: fit a classical method, segment, score and report.

It leaves a folder like that of a network's run, `<runs>/<name>/<date-time>/`, without weights.
"""

from __future__ import annotations

import time
from pathlib import Path

from hydra import compose, initialize_config_module
from omegaconf import DictConfig

from lightning_brats import console
from lightning_brats.baselines.beginning import (
    check_modalities,
    chosen_postprocess,
    describe,
    new_folder,
    prepared,
)
from lightning_brats.baselines.outcome import conclude
from lightning_brats.baselines.refinement import Refinement
from lightning_brats.baselines.refining import refine
from lightning_brats.baselines.scan import Baseline, Scans
from lightning_brats.baselines.segmenting import segment_part
from lightning_brats.data.cohorts import check_same_tissues
from lightning_brats.machine import detect
from lightning_brats.parts import build
from lightning_brats.preparation import find_source
from lightning_brats.segmentation import VALIDATION


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

    In a fold the validation cases are segmented too, for `experiments/evaluate.py runs=…`. A
    refinement starts from a network's run instead, see `refine`.

    Raises:
        BratsError: Something the user can put right.
    """
    method: Baseline | Refinement = build(cfg.method)
    if isinstance(method, Refinement):
        return refine(cfg, method)
    machine = detect()
    console.quieten()
    source = find_source(cfg)
    check_same_tissues(source.schemes)
    check_modalities(cfg.model_name, method, source)
    postprocess = chosen_postprocess(cfg)
    known, data = prepared(cfg, source)
    folder = new_folder(cfg)
    console.heading(cfg, machine, data.source, data.split, folder)
    console.excluded(data.source.excluded)
    describe(cfg, known, folder, data, machine)
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
