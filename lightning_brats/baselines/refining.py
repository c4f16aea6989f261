"""`experiments/baseline.py method=refine method.run=RUN`: refine a network's masks, and say by how
much that helps.

The refinement is chosen on the network's masks of the validation cases, applied to those of the
test cases, and scored by the code that scored the network.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from lightning_brats import console
from lightning_brats.baselines.beginning import check_modalities, describe, new_folder, prepared
from lightning_brats.baselines.outcome import conclude
from lightning_brats.baselines.refinement import Refinement
from lightning_brats.baselines.scan import Scan, Scans
from lightning_brats.baselines.segmenting import segment_part
from lightning_brats.data.case import Case
from lightning_brats.data.datamodule import BratsDataModule
from lightning_brats.data.geometry import Geometry
from lightning_brats.data.reading import read_mask
from lightning_brats.errors import ConfigError
from lightning_brats.machine import detect
from lightning_brats.postprocess import Postprocess
from lightning_brats.prediction import Segmenter, find_checkpoints, load_models
from lightning_brats.prediction.writing import save_labels
from lightning_brats.preparation import find_source
from lightning_brats.segmentation import VALIDATION

TAKEN = ("data", "preprocess", "split", "seed")
"""Settings of the network's run that its refinement has in common with it."""
BEFORE = "network_validation"
"""Folder of the network's masks of validation cases, where its run did not keep them."""


def refine(cfg: DictConfig, method: Refinement) -> Path:
    """Choose a refinement on validation cases, refine the test cases, score and report.

    Args:
        cfg: `configs/baseline.yaml`; data, preprocessing, split and seed are those of the run.
        method: Says which run.

    Returns:
        The refinement's own run folder.

    Raises:
        ConfigError: The run has no masks, or its cases were resampled.
        DataError: See `prepared`.
    """
    run = Path(method.run).expanduser()
    cfg = with_settings_of(cfg, run)
    machine = detect()
    console.quieten()
    source = find_source(cfg)
    check_modalities(cfg.model_name, method, source)
    known, data = prepared(cfg, source, run)
    _check_files_own_voxels(data)
    data.split = replace(data.split, fold=None, folds=None)  # only test cases are refined
    folder = new_folder(cfg)
    console.heading(cfg, machine, data.source, data.split, folder)
    describe(cfg, known, folder, data, machine)
    began = time.perf_counter()
    masks = validation_masks(run, data, folder / BEFORE)
    with console.counting("choosing", "steps") as progress:
        progress(0, 1)
        found = method.fit(Started(data, "validation", masks, labelled=True), cfg.seed)
        progress(1, 1)
    train_seconds = time.perf_counter() - began
    given = Started(data, "test", run / "predictions", labelled=False)
    seconds = segment_part(method, data, "test", folder / "predictions", Postprocess(), given)
    conclude(folder, cfg, data, found, {"train": train_seconds, "case": seconds}, run)
    return folder


def with_settings_of(cfg: DictConfig, run: Path) -> DictConfig:
    """The configuration with a network's data, preprocessing, split and seed.

    Raises:
        ConfigError: The folder is no finished run.
    """
    needed = ("config.yaml", "split.json", "evaluation.csv", "predictions")
    missing = [name for name in needed if not (run / name).exists()]
    if missing:
        raise ConfigError(
            f"the run to refine has no {', '.join(missing)}",
            file=run,
            remedy="name the folder of a finished run: method.run=runs/unet/2026-01-31_12-00-00",
        )
    own: Any = OmegaConf.load(run / "config.yaml")
    merged = cfg.copy()
    OmegaConf.set_struct(merged, False)
    for name in TAKEN:
        merged[name] = own[name]
    merged.split.file = str(run / "split.json")
    merged.fold = None
    # The network's masks are cleaned already, and are to stay as they are where nothing helps.
    merged.postprocess = {"_target_": "lightning_brats.postprocess.Postprocess", "steps": []}
    return merged


class Started(Scans):
    """Prepared cases of a part of the split with a network's masks, each read when asked for.

    Args:
        data: The cases.
        part: `validation` or `test`.
        masks: Folder of `<case>.nii.gz`.
        labelled: Whether the references may be seen.
    """

    def __init__(self, data: BratsDataModule, part: str, masks: Path, labelled: bool) -> None:
        super().__init__(data.entries(part), data.source.modalities, labelled)
        self.cases, self.masks = data.cases(part), masks

    def __getitem__(self, index: int | slice) -> Any:
        """A scan with the mask to start with."""
        assert isinstance(index, int)
        scan = super().__getitem__(index)
        assert isinstance(scan, Scan)
        geometry = Geometry.from_dict(self.entries[index].meta["geometry"])
        return replace(scan, start=_start(self.cases[index], self.masks, geometry))


def validation_masks(run: Path, data: BratsDataModule, folder: Path) -> Path:
    """Folder of the network's masks of the validation cases; segmented where they were not kept.

    Args:
        run: The network's.
        data: Prepared as for it.
        folder: For masks that have to be made.

    Raises:
        ConfigError: They have to be, and the run has no weights.
    """
    names = data.split.validation
    kept = run / VALIDATION
    if all((kept / f"{name}.nii.gz").is_file() for name in names):
        return kept
    segmenter = Segmenter(load_models(find_checkpoints(str(run))))
    folder.mkdir()
    cases, entries = data.cases("validation"), data.entries("validation")
    with console.counting("segmenting", "validation cases") as progress:
        for number in range(len(cases)):
            progress(number, len(cases))
            prepared_case = entries[number].prepared()
            image = np.array(prepared_case.image)  # the map on disk cannot be written to
            found = segmenter([replace(prepared_case, image=image)])
            save_labels(folder, cases[number], found.geometry, found.labels)
        progress(len(cases), len(cases))
    return folder


def _start(case: Case, masks: Path, geometry: Geometry) -> np.ndarray:
    """(x, y, z) uint8 internal labels of a saved mask, on the prepared case's grid."""
    labels, _ = read_mask(masks / f"{case.case}.nii.gz", case.scheme, case.case)
    box = tuple(slice(low, high) for low, high in geometry.box)
    return np.ascontiguousarray(geometry.to_canonical(labels)[box])


def _check_files_own_voxels(data: BratsDataModule) -> None:
    entries: Sequence[Any] = data.entries("test")
    if any(entry.meta["geometry"].get("resampled") for entry in entries):
        raise ConfigError(
            "the run's cases were resampled, and its masks are on the files' own voxels",
            remedy="refine runs with preprocess.spacing=null and preprocess.raw.atlas=null",
        )
