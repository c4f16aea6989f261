"""`experiments/followup.py`: a patient's time points, from folders to a page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from lightning_brats.data.audit import check_writable
from lightning_brats.data.case import Case
from lightning_brats.errors import ConfigError
from lightning_brats.followup.course import follow_up
from lightning_brats.followup.points import (
    find_points,
    read_dates,
    regions_to_measure,
    time_point,
    with_masks,
)
from lightning_brats.followup.writing import sentence, write_follow_up
from lightning_brats.labels import REGIONS
from lightning_brats.prediction.average_command import coding
from lightning_brats.prediction.models import (
    ensemble_postprocess,
    find_checkpoints,
    load_models,
    strictest,
)
from lightning_brats.prediction.segmenter import Segmenter
from lightning_brats.prediction.writing import save_labels


def run(cfg: DictConfig) -> Path:
    """Follow one patient over time.

    Args:
        cfg: `configs/followup.yaml`.

    Returns:
        The page.

    Raises:
        ConfigError: A setting cannot be used.
        DataError: An input cannot be used, or is of several patients.
    """
    given: Any = OmegaConf.to_container(cfg)
    if cfg.checkpoint is not None and cfg.masks is not None:
        raise ConfigError("checkpoint and masks are both given", remedy="name one of them")
    folder = Path(cfg.output)
    check_writable(folder)
    segmenter = None if cfg.checkpoint is None else _segmenter(given["checkpoint"])
    inputs = [given["input"]] if isinstance(given["input"], str) else given["input"]
    model = None if segmenter is None else strictest(segmenter.models)
    cases = find_points(
        [Path(one) for one in inputs], model, cfg.layout, coding(given["labels"]), cfg.patient
    )
    days = read_dates(given["dates"], cases)
    if days:
        cases = sorted(cases, key=lambda case: days[case.case])
    regions = _regions(given["regions"], cases[0], segmenter)
    warnings: list[str] = []
    if segmenter is None:
        cases = with_masks(cases, None if cfg.masks is None else Path(cfg.masks))
    else:
        cases, warnings = _segmented(cases, segmenter, folder / "masks")
    points = [time_point(case, days.get(case.case)) for case in cases]
    print(f"comparing {len(points)} time points: {', '.join(p.name for p in points)}", flush=True)
    found = follow_up(points, regions, cfg.registration)
    found = replace(found, notes=(*warnings, *found.notes))
    page = write_follow_up(found, folder)
    for region in found.regions:
        print(f"  {sentence(found, region)}")
    for note in found.notes:
        print(f"  {note}")
    print(f"  {page}", flush=True)
    return page


def _segmenter(checkpoint: Any) -> Segmenter:
    models = load_models(find_checkpoints(checkpoint), ensemble_postprocess(checkpoint))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for model in models:
        model.task.to(device)
    return Segmenter(models)


def _regions(wanted: list[str] | None, case: Case, segmenter: Segmenter | None) -> list[str]:
    """What to measure: what was asked for, where the networks can find it, or all they can find.

    Raises:
        ConfigError: They can find nothing of a region that was asked for.
    """
    known = None if segmenter is None else segmenter.regions
    if not wanted:
        return regions_to_measure(case.scheme, known)
    if known is not None:
        can_be = {label for region in known for label in REGIONS[region]}
        lost = [r for r in wanted if r in REGIONS and not can_be & set(REGIONS[r])]
        if lost:
            raise ConfigError(
                f"the network cannot find {', '.join(lost)}: it knows {', '.join(known)}",
                remedy="leave that out of regions=…, or name a network that was trained on it",
            )
    return wanted


def _segmented(
    cases: list[Case], segmenter: Segmenter, folder: Path
) -> tuple[list[Case], list[str]]:
    """The cases with masks that networks made, written into a folder; warnings of their scans."""
    folder.mkdir(exist_ok=True)
    found = []
    warnings: dict[str, None] = {}  # networks that prepare alike warn alike
    for number, case in enumerate(cases, 1):
        prepared = segmenter.prepare(case)
        warnings |= {f"{case.case}: {text}.": None for one in prepared for text in one.warnings}
        prediction = segmenter(prepared)
        mask = save_labels(folder, case, prediction.geometry, prediction.labels)
        print(f"  {number}/{len(cases)}  {mask}", flush=True)
        found.append(replace(case, mask=mask))
    return found, list(warnings)
