"""`experiments/explain.py`: why a network segmented each case of a folder or table as it did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from lightning_brats.data.audit import check_writable
from lightning_brats.errors import ConfigError
from lightning_brats.explain.case import explain_case
from lightning_brats.explain.sanity import sanity_check
from lightning_brats.explain.writing import verdict, write_explanation
from lightning_brats.prediction.cases import BadCases, find_cases
from lightning_brats.prediction.models import (
    ensemble_postprocess,
    find_checkpoints,
    load_models,
    strictest,
)


def explain(cfg: DictConfig) -> Path:
    """Explain one region of every case.

    Args:
        cfg: `configs/explain.yaml`.

    Returns:
        The folder of maps, pictures and pages.

    Raises:
        ConfigError: The checkpoint or a setting cannot be used, or Captum is missing.
        DataError: A case cannot be used.
    """
    named: Any = OmegaConf.to_container(cfg)["checkpoint"]  # type: ignore[call-overload, index]
    found = find_checkpoints(named)
    if cfg.sanity and len(found) > 1:
        raise ConfigError(
            f"sanity=true compares one network, and {len(found)} checkpoints are named",
            remedy="name one checkpoint, or sanity=false",
        )
    models = load_models(found, ensemble_postprocess(named))
    for model in models:
        model.task.to("cuda" if torch.cuda.is_available() else "cpu")
    folder = Path(cfg.output)
    check_writable(folder)
    wanted = strictest(models)
    cases = find_cases(wanted, Path(cfg.input), cfg.layout, BadCases("error"), keep_masks=True)
    listed = ", ".join(map(str, found))
    print(f"explaining {cfg.region} of {len(cases)} cases with {listed}", flush=True)
    for number, case in enumerate(cases, 1):
        explanation = explain_case(models, case, cfg.region, cfg.steps, cfg.layer)
        page = write_explanation(explanation, folder)
        print(f"  {number}/{len(cases)}  {page}", flush=True)
        print(f"       {verdict(explanation.contributions, cfg.region)}", flush=True)
        for note in explanation.notes:
            print(f"       {note}", flush=True)
        if cfg.sanity:
            checked = sanity_check(wanted.task, explanation, cfg.steps, cfg.layer)
            print("       rank correlation with a network of random weights (0 is best):")
            for name, value in checked.items():
                print(f"         {name:<32} {value:6.2f}", flush=True)
    return folder
