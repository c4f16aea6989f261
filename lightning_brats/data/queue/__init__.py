"""The patch queue: settings, plan to batch, and the processes between."""

from lightning_brats.data.queue.batch import PatchBatch, collate_patches
from lightning_brats.data.queue.cutting import WorkerError
from lightning_brats.data.queue.patch_queue import PatchQueue, QueueStatistics
from lightning_brats.data.queue.positions import PositionSampler
from lightning_brats.data.queue.settings import QueueSettings

__all__ = [
    "PatchBatch",
    "PatchQueue",
    "PositionSampler",
    "QueueSettings",
    "QueueStatistics",
    "WorkerError",
    "collate_patches",
]
