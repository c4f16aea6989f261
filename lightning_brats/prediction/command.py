"""`experiments/predict.py`: segment the cases of a folder or table, one line a case."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from lightning_brats.data.audit import check_writable
from lightning_brats.errors import ConfigError
from lightning_brats.parts import build
from lightning_brats.prediction.average_command import average
from lightning_brats.prediction.cases import BadCases, find_cases, read_ahead
from lightning_brats.prediction.models import (
    Model,
    ensemble_postprocess,
    find_checkpoints,
    load_models,
    strictest,
)
from lightning_brats.prediction.output import Output, chosen_postprocess, finish
from lightning_brats.prediction.segmenter import Segmenter


def predict(cfg: DictConfig) -> Path:
    """Segment every case of a folder or table with one or several trained networks.

    With `probabilities_from` the networks' saved probabilities are averaged instead.

    Args:
        cfg: `configs/predict.yaml`.

    Returns:
        The folder of masks.

    Raises:
        ConfigError: A checkpoint or setting cannot be used.
        DataError: A case lacks a modality that the networks need, or cannot be read.
    """
    if cfg.probabilities_from:
        return average(cfg)
    bad = BadCases(cfg.on_bad_case)
    device = _device(cfg.accelerator)
    segmenter = Segmenter(_models(cfg, device), cfg.ensemble, cfg.uncertainty)
    output = Path(cfg.output)
    check_writable(output)
    patterns = OmegaConf.to_container(cfg.modalities_from) if cfg.modalities_from else None
    cases = find_cases(strictest(segmenter.models), Path(cfg.input), cfg.layout, bad, patterns)  # type: ignore[arg-type]
    count = len(segmenter.models)
    named = segmenter.models[0].checkpoint if count == 1 else f"{count} networks"
    print(f"segmenting {len(cases)} cases of {cfg.input} with {named} on {device}", flush=True)
    written = Output(
        output,
        segmenter.regions,
        segmenter.shared_postprocess,
        cfg.probabilities,
        cfg.uncertainty,
        cfg.figures,
    )
    started, done = time.perf_counter(), 0
    for number, (case, prepared) in enumerate(read_ahead(cases, segmenter.prepare), 1):
        with bad.guard(case):
            ready = prepared.result()
            for warning in dict.fromkeys(text for each in ready for text in each.warnings):
                print(f"  warning  {case.case}: {warning}", flush=True)
            path = written.add(case, segmenter(ready))
            done += 1
            left = (time.perf_counter() - started) / number * (len(cases) - number)
            print(f"  {number}/{len(cases)}  {path}  left {left / 60:.1f} min", flush=True)
    return finish(bad, done, written, cfg.input)


def _models(cfg: DictConfig, device: torch.device) -> list[Model]:
    checkpoint: Any = OmegaConf.to_container(cfg)["checkpoint"]  # type: ignore[call-overload, index]
    postprocess = chosen_postprocess(cfg)
    if postprocess is None:
        postprocess = ensemble_postprocess(checkpoint)
        if postprocess is not None:
            print("with post-processing tuned on this ensemble's out-of-fold cases", flush=True)
    models = load_models(find_checkpoints(checkpoint), postprocess)
    if cfg.get("preprocess") is not None:
        steps = build(OmegaConf.to_container(cfg.preprocess, resolve=True))
        models = [replace(m, preprocess=m.preprocess.with_steps_of(steps)) for m in models]
    for model in models:
        window = model.task.inference
        axes = cfg.get("axes") or window.axes
        model.task.inference = replace(window, tta=cfg.tta, precision=cfg.precision, axes=axes)
        model.task.to(device)
    return models


def _device(accelerator: str) -> torch.device:
    if accelerator not in ("auto", "cpu", "gpu"):
        raise ConfigError(f"accelerator={accelerator}: choose auto, cpu or gpu")
    if accelerator == "gpu" and not torch.cuda.is_available():
        raise ConfigError("there is no GPU that torch can use", remedy="accelerator=auto")
    return torch.device("cuda" if accelerator != "cpu" and torch.cuda.is_available() else "cpu")
