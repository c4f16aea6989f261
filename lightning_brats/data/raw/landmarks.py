"""Landmarks for `normalisation=histogram`, fitted on training cases.

    python -m lightning_brats.data.raw.landmarks output=landmarks.json split=split.json data.root=…

`output` is the file to write, `split` the split whose training cases are used (all cases without
it); everything else is a setting of `data` and `preprocess`, as in `experiments/prepare.py`.
Then: `preprocess.normalisation=histogram preprocess.landmarks=landmarks.json`. Fit and training
must have the other settings of `preprocess` in common.
Without a file (`preprocess.landmarks=auto`), a run learns them from its own training cases.
"""

from __future__ import annotations

import json
import sys
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
import torchio as tio
from hydra import compose, initialize_config_module
from hydra.errors import HydraException
from omegaconf import OmegaConf

from lightning_brats.cli import friendly
from lightning_brats.data.case import Case
from lightning_brats.data.entry import CachedCase
from lightning_brats.data.normalisation import LANDMARK_RANGE
from lightning_brats.data.preprocess import Preprocess
from lightning_brats.data.splits import Split
from lightning_brats.errors import ConfigError
from lightning_brats.parts import build

Progress = Callable[[int, int], None]
OWN = ("output", "split")
PERCENTILES = (1, 10, 20, 25, 30, 40, 50, 60, 70, 75, 80, 90, 99)
"""That landmarks stand for, as TorchIO takes them."""


def fit_landmarks(
    cases: Sequence[Case], preprocess: Preprocess, progress: Progress | None = None
) -> dict[str, list[float]]:
    """Modality → 13 landmarks from 0 to 100 (Nyúl et al., IEEE TMI 2000; by TorchIO).

    Args:
        cases: To learn from; all with the same modalities.
        preprocess: How they are read: its spatial steps, denoising and bias correction.
        progress: Called with (done, total).

    Raises:
        DataError: A case cannot be used.
    """
    with tempfile.TemporaryDirectory() as folder:
        files: dict[str, list[str]] = {modality: [] for modality in cases[0].images}
        for number, case in enumerate(cases, 1):
            volume = preprocess.read(case)
            box = tuple(
                slice(int(v.min()), int(v.max()) + 1) if v.size else slice(0)
                for v in np.nonzero(volume.brain)
            )
            for modality, channel in zip(case.images, volume.image, strict=True):
                path = f"{folder}/{number}_{modality}.nii"
                inside = np.where(volume.brain, channel, 0)[box]
                nib.save(nib.Nifti1Image(inside.astype(np.float32), np.eye(4)), path)
                files[modality].append(path)
            if progress:
                progress(number, len(cases))
        return {modality: _train(paths) for modality, paths in files.items()}


def learn_landmarks(
    entries: Sequence[CachedCase], modalities: Sequence[str]
) -> dict[str, list[float]]:
    """As `fit_landmarks`, but from prepared cases.

    Each image's percentiles are brought to 0 … 100 before they are averaged, so that the linear
    normalisation that it was prepared with makes no difference.

    Args:
        entries: To learn from, normalised linearly.
        modalities: Of their channels.
    """
    found: list[np.ndarray] = []
    for entry in entries:
        image = np.asarray(entry.image, np.float32)
        inside = (image != 0).any(0)
        values = np.percentile(image[:, inside], PERCENTILES, axis=1).T  # (C, 13)
        low, high = values[:, :1], values[:, -1:]
        width = np.maximum(high - low, np.finfo(np.float32).tiny)
        found.append(LANDMARK_RANGE * (values - low) / width)
    mean = np.mean(found, axis=0)
    return {
        name: [round(float(value), 6) for value in own]
        for name, own in zip(modalities, mean, strict=True)
    }


def _train(paths: Sequence[str]) -> list[float]:
    def inside(tensor: torch.Tensor) -> torch.Tensor:
        return tensor != 0

    found = tio.HistogramStandardization.train(paths, masking_function=inside, progress=False)
    return [round(float(value), 6) for value in found]


def write_landmarks(
    path: Path, landmarks: Mapping[str, Sequence[float]], cases: int, preprocess: Preprocess
) -> None:
    """Write what `preprocess.landmarks` reads, and what it was fitted with."""
    content = {"landmarks": landmarks, "cases": cases, "preprocess": preprocess.to_dict()}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    partial.write_text(json.dumps(content, indent=1))
    partial.replace(path)  # in one step: several runs may learn the same at once


@friendly
def main(arguments: Sequence[str]) -> None:
    """Parse, fit and write.

    Raises:
        ConfigError: A setting is missing or does not exist.
        DataError: A case cannot be used.
    """
    if not arguments or {"-h", "--help"} & set(arguments):
        print(__doc__)
        return
    own = dict(a.split("=", 1) for a in arguments if a.split("=", 1)[0] in OWN and "=" in a)
    others = [a for a in arguments if a.split("=", 1)[0] not in OWN]
    if not own.get("output"):
        raise ConfigError("output is not given", remedy="output=landmarks.json")
    cases, preprocess = _configured(others)
    if "split" in own:
        train = set(Split.load(Path(own["split"])).train)
        cases = [case for case in cases if case.case in train]
        if not cases:
            raise ConfigError("no case is in the split's training part", file=own["split"])
    else:
        print("no split is named: test cases take part too; give split=… to keep them out")
    found = fit_landmarks(cases, preprocess, _tell)
    write_landmarks(Path(own["output"]), found, len(cases), preprocess)
    print(f"landmarks of {', '.join(found)} from {len(cases)} cases: {own['output']}")


def _configured(overrides: Sequence[str]) -> tuple[list[Case], Preprocess]:
    try:
        with initialize_config_module("lightning_brats.configs", version_base="1.3"):
            cfg = compose("prepare", [*overrides, "preprocess.normalisation=zscore"])
    except HydraException as error:
        raise ConfigError(str(error).splitlines()[0], remedy="see --help") from error
    arguments = OmegaConf.to_container(cfg.data, resolve=True)
    assert isinstance(arguments, dict)
    arguments.pop("cache")
    source = build(arguments)
    return list(source.cases), build(OmegaConf.to_container(cfg.preprocess, resolve=True))


def _tell(done: int, total: int) -> None:
    print(f"  {done}/{total}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
