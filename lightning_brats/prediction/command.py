"""`experiments/predict.py`: segment the cases of a folder or table, one line a case."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from lightning_brats.data.audit import check_writable
from lightning_brats.data.case import Case
from lightning_brats.data.preprocess import Geometry
from lightning_brats.errors import ConfigError, DataError
from lightning_brats.labels import region_masks
from lightning_brats.parts import build
from lightning_brats.postprocess import Postprocess
from lightning_brats.prediction.cases import BadCases, find_cases, read_ahead
from lightning_brats.prediction.models import Model, find_checkpoints, load_models
from lightning_brats.prediction.segmenter import Prediction, Segmenter
from lightning_brats.prediction.writing import Table, save_labels, save_map, save_probabilities


def predict(cfg: DictConfig) -> Path:
    """Segment every case of a folder or table with one or several trained networks.

    Args:
        cfg: `configs/predict.yaml`.

    Returns:
        The folder of masks.

    Raises:
        ConfigError: A checkpoint or setting cannot be used.
        DataError: A case lacks a modality that the networks need, or cannot be read.
    """
    bad = BadCases(cfg.on_bad_case)
    device = _device(cfg.accelerator)
    segmenter = Segmenter(_models(cfg, device), cfg.ensemble, cfg.uncertainty)
    output = Path(cfg.output)
    check_writable(output)
    cases = find_cases(segmenter.models[0], Path(cfg.input), cfg.layout, bad)
    count = len(segmenter.models)
    named = segmenter.models[0].checkpoint if count == 1 else f"{count} networks"
    print(f"segmenting {len(cases)} cases of {cfg.input} with {named} on {device}", flush=True)
    table = Table(output / "predictions.csv", _columns(segmenter.regions))
    started, done = time.perf_counter(), 0
    for number, (case, prepared) in enumerate(read_ahead(cases, segmenter.prepare), 1):
        with bad.guard(case):
            prediction = segmenter(prepared.result())
            path = _save(output, case, prediction, cfg)
            table.add(_row(case, prediction))
            done += 1
            left = (time.perf_counter() - started) / number * (len(cases) - number)
            print(f"  {number}/{len(cases)}  {path}  left {left / 60:.1f} min", flush=True)
    bad.report()
    if not done:
        raise DataError("no case could be segmented", file=cfg.input, remedy="see above")
    print(f"  volumes and predicted Dice: {table.path}", flush=True)
    return output


def _models(cfg: DictConfig, device: torch.device) -> list[Model]:
    checkpoint: Any = OmegaConf.to_container(cfg)["checkpoint"]  # type: ignore[call-overload, index]
    chosen = cfg.get("postprocess")
    postprocess = None if chosen is None else build(OmegaConf.to_container(chosen, resolve=True))
    if not isinstance(postprocess, Postprocess | None):
        raise ConfigError(
            "post-processing is tuned by a run, on its validation cases",
            remedy="leave postprocess out: what a run chose is in its checkpoint",
        )
    models = load_models(find_checkpoints(checkpoint), postprocess)
    for model in models:
        window = model.task.inference
        model.task.inference = replace(window, tta=cfg.tta, precision=cfg.precision)
        model.task.to(device)
    return models


def _device(accelerator: str) -> torch.device:
    if accelerator not in ("auto", "cpu", "gpu"):
        raise ConfigError(f"accelerator={accelerator}: choose auto, cpu or gpu")
    if accelerator == "gpu" and not torch.cuda.is_available():
        raise ConfigError("there is no GPU that torch can use", remedy="accelerator=auto")
    return torch.device("cuda" if accelerator != "cpu" and torch.cuda.is_available() else "cpu")


def _save(folder: Path, case: Case, found: Prediction, cfg: DictConfig) -> Path:
    """Write a case's files, the mask last: where there is a mask, the rest is there too."""
    name, geometry = case.case, found.geometry
    if cfg.probabilities:
        path = folder / f"{name}_probabilities.nii.gz"
        save_probabilities(path, geometry, found.probabilities)
    if cfg.uncertainty:
        save_map(folder / f"{name}_entropy.nii.gz", geometry, found.entropy)
        if found.disagreement is not None:
            path = folder / f"{name}_mutual_information.nii.gz"
            save_map(path, geometry, found.disagreement)
    return save_labels(folder, case, geometry, found.labels)


def _columns(regions: Sequence[str]) -> list[str]:
    volumes = [f"{region}_ml" for region in regions]
    return ["case", *volumes, *(f"{region}_predicted_dice" for region in regions), "tumour_entropy"]


def _row(case: Case, found: Prediction) -> dict[str, Any]:
    """A case's line of `predictions.csv`; `tumour_entropy` is empty where there is no tumour."""
    regions = list(found.dice)
    masks = region_masks(found.labels, regions)
    voxel = _millilitres(found.geometry)
    volumes = {f"{r}_ml": float(m.sum()) * voxel for r, m in zip(regions, masks, strict=True)}
    expected = {f"{region}_predicted_dice": value for region, value in found.dice.items()}
    inside = found.entropy[region_masks(found.labels, ["WT"])[0]]
    mean = float(inside.mean()) if inside.size else None
    return {"case": case.case, **volumes, **expected, "tumour_entropy": mean}


def _millilitres(geometry: Geometry) -> float:
    """Volume of a voxel."""
    return abs(float(np.linalg.det(np.asarray(geometry.affine)[:3, :3]))) / 1000
