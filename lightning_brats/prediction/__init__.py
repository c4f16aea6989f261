"""From whole volumes to masks on disk, on the grid and in the coding of the input."""

from lightning_brats.prediction.command import predict
from lightning_brats.prediction.models import Model, context, find_checkpoints, load_models
from lightning_brats.prediction.segmenter import Prediction, Segmenter
from lightning_brats.prediction.writing import PredictionWriter

__all__ = [
    "Model",
    "Prediction",
    "PredictionWriter",
    "Segmenter",
    "context",
    "find_checkpoints",
    "load_models",
    "predict",
]
