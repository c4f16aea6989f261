"""An exponential moving average of the weights, which is what is validated, kept and tested."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import WeightAveraging
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor

from lightning_brats.errors import ConfigError


class AveragedWeights(WeightAveraging):
    """Averages the weights after each step (Polyak & Juditsky 1992).

    The average starts as the mean of all weights so far and forgets more slowly as it goes on, so
    that a short run is not held back by its first steps: step `t` counts with
    `max(1 - decay, 1 / (t + 1))`.

    Args:
        decay: Share of the average that a step keeps, in the long run.

    Raises:
        ConfigError: The decay is not between 0 and 1.
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 < decay < 1:
            raise ConfigError(
                f"trainer.ema={decay} is not between 0 and 1", remedy="trainer.ema=0.999, or null"
            )

        def average(mean: Tensor, now: Tensor, count: Tensor | int) -> Tensor:
            if not mean.is_floating_point():  # counts and masks among the buffers
                return now
            return mean.lerp(now, max(1 - decay, 1 / (float(count) + 1)))

        super().__init__(avg_fn=average)

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Go on averaging where training goes on; tests use the average that the file holds."""
        if trainer.state.fn == TrainerFn.FITTING:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)
