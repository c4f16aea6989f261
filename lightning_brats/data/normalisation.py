"""Intensities of a brain on a scale that networks can learn from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torchio as tio

from lightning_brats.errors import ConfigError

NORMALISATIONS = ("zscore", "minmax", "percentile", "histogram")
Landmarks = Mapping[str, Sequence[float]]
"""Modality → intensities of TorchIO's 13 percentiles, averaged over the cases of the fit."""

PERCENTILES = (1.0, 99.0)
"""Of `percentile`, where none are given."""

LANDMARK_RANGE = 100.0
"""Landmarks run from 0 to 100; networks see a hundredth of that."""

HALF_MAX = 60_000.0
"""Normalised values are clipped to what half precision can hold."""


def normalise(
    values: np.ndarray,
    how: str,
    clip: Sequence[float] | None = None,
    landmarks: Sequence[float] | None = None,
) -> np.ndarray:
    """Brain voxels (N,), not all equal, on their new scale.

    Args:
        values: Of one modality.
        how: One of `NORMALISATIONS`; see `Preprocess`.
        clip: Lower and upper percentile to cut off.
        landmarks: Of the modality, for `histogram`.
    """
    if clip is not None:
        values = np.clip(values, *np.percentile(values, list(clip)))
    if how == "minmax":
        return (values - values.min()) / (values.max() - values.min())
    if how == "percentile":
        low, high = np.percentile(values, [0, 100] if clip is not None else PERCENTILES)
        width = max(float(high - low), float(np.finfo(np.float32).tiny))
        return np.clip((values - low) / width, 0, 1)
    if how == "histogram":
        assert landmarks is not None
        return np.clip(_standardise(values, landmarks) / LANDMARK_RANGE, -HALF_MAX, HALF_MAX)
    centred = values - float(values.mean(dtype=np.float64))  # single precision from here on
    deviation = float(np.dot(centred, centred) / len(centred)) ** 0.5
    centred /= max(deviation, float(np.finfo(np.float32).tiny))
    return np.clip(centred, -HALF_MAX, HALF_MAX, out=centred)


def _standardise(values: np.ndarray, landmarks: Sequence[float]) -> np.ndarray:
    """Piecewise linear, so that percentiles fall on the landmarks (Nyúl et al., IEEE TMI 2000)."""
    transform = tio.HistogramStandardization({"image": np.asarray(landmarks, np.float64)})
    tensor = torch.from_numpy(np.ascontiguousarray(values, np.float32))[None, :, None, None]
    subject = transform(tio.Subject(image=tio.ScalarImage(tensor=tensor)))
    return subject.get_scalar_image("image").data.numpy().ravel()


def read_landmarks(path: Path) -> dict[str, list[float]]:
    """Landmarks from the file that `python -m lightning_brats.data.raw.landmarks` wrote.

    Raises:
        ConfigError: It is not there, or not such a file.
    """
    remedy = "fit them: python -m lightning_brats.data.raw.landmarks output=landmarks.json"
    try:
        found = json.loads(path.expanduser().read_text())["landmarks"]
        return {str(k): [float(v) for v in values] for k, values in found.items()}
    except FileNotFoundError as error:
        raise ConfigError("the landmarks are not there", file=path, remedy=remedy) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError("not a file of landmarks", file=path, remedy=remedy) from error
