"""What an evaluation's page says about where its masks come from, and how it shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from omegaconf import OmegaConf

from lightning_brats.data.case import Case, Volume
from lightning_brats.errors import BratsError
from lightning_brats.evaluation.files import read_prediction
from lightning_brats.evaluation.pairing import Pairing
from lightning_brats.parts import build, plain
from lightning_brats.report import Subject

NOTHING = "Nothing was predicted."


def of_folder(
    folder: Path, references: Path, cases: Sequence[Case], pairing: Pairing, resample: bool
) -> Subject:
    """A folder of masks against references.

    Args:
        folder: The predictions.
        references: The data set, or folder of masks.
        cases: Of the references.
        pairing: Which file is whose.
        resample: Whether predictions may lie on other grids.
    """
    missing, extra = pairing.missing, [str(path) for path in pairing.extra]
    codings = {case.scheme.describe() for case in cases}
    facts = [
        ("Predictions", str(folder)),
        ("References", str(references)),
        ("Label coding of both", "; ".join(sorted(codings))),
        ("Cases", str(len(cases))),
        ("Without a prediction", str(len(missing))),
        ("Files left over", str(len(extra))),
    ]
    if resample:
        facts.append(("Other grids", "resampled, nearest neighbour"))
    lists = [
        ("Cases without a prediction", "Scored as if nothing had been predicted.", missing),
        ("Files left over", "They belong to no case, and were not scored.", extra),
    ]
    return Subject(
        folder.resolve().name,
        facts,
        [(title, lead, names) for title, lead, names in lists if names],
        {case.case: case for case in cases},
        _Reader(pairing.files, resample),
        dict.fromkeys(missing, NOTHING),
    )


def of_folds(runs: Sequence[Path], scores: pd.DataFrame) -> Subject:
    """The runs of a cross-validation.

    Args:
        runs: Their folders.
        scores: Out-of-fold rows with the column `fold`.
    """
    ordered = [str(run) for run in runs]
    facts = [
        ("Scored", "every case by the run that did not train on it"),
        ("Runs", str(len(runs))),
        ("Model", str(_config(runs[0]).get("model_name", "not recorded"))),
    ]
    try:
        cases = _cases_of(runs[0], set(scores["case"]))
    except BratsError as error:
        facts.append(("Pictures", f"none: {error.problem}"))
        cases = {}
    files: dict[str, Path | None] = {}
    for run in runs:
        for case in set(scores["case"]):
            path = run / "predictions_validation" / f"{case}.nii.gz"
            if path.is_file():
                files[case] = path
    name = f"{_config(runs[0]).get('model_name', runs[0].name)}, {len(runs)} folds"
    return Subject(name, facts, [("Runs", "", ordered)], cases, _Reader(files, False))


class _Reader:
    """Reads predictions on their references' grids; one that is missing is empty."""

    def __init__(self, files: Mapping[str, Path | None], resample: bool) -> None:
        self.files, self.resample = files, resample

    def __call__(self, case: Case, volume: Volume) -> np.ndarray:
        path, shape = self.files[case.case], volume.image.shape[1:]
        if path is None:
            return np.zeros(shape, np.uint8)
        return read_prediction(case, path, shape, volume.affine, self.resample)


def _config(run: Path) -> dict:
    return plain(OmegaConf.load(run / "config.yaml"))


def _cases_of(run: Path, wanted: set[str]) -> dict[str, Case]:
    """Cases of a run's data set, which may have moved since.

    Raises:
        BratsError: It is not where the run found it.
    """
    source = dict(_config(run)["data"])
    source.pop("cache", None)
    return {case.case: case for case in build(source).cases if case.case in wanted}
