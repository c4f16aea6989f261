"""What a training does besides training: table, pace, averages, schedules, faults, safe stop."""

from lightning_brats.callbacks.averaging import AveragedWeights
from lightning_brats.callbacks.compiled import CompiledNetwork
from lightning_brats.callbacks.faults import DivergedRunError, SkipNonFinite
from lightning_brats.callbacks.pace import Pace
from lightning_brats.callbacks.plateau import ScoreSchedules
from lightning_brats.callbacks.progress import TrainingProgress
from lightning_brats.callbacks.pruning import PrunedRunError, StudyPruning
from lightning_brats.callbacks.randomness import RandomState
from lightning_brats.callbacks.stop import InterruptedRunError, SafeStop
from lightning_brats.callbacks.table import EpochTable

__all__ = [
    "AveragedWeights",
    "CompiledNetwork",
    "DivergedRunError",
    "EpochTable",
    "InterruptedRunError",
    "Pace",
    "PrunedRunError",
    "RandomState",
    "SafeStop",
    "ScoreSchedules",
    "SkipNonFinite",
    "StudyPruning",
    "TrainingProgress",
]
