"""An exponential moving average of the weights, which is what is validated, kept and tested."""

from __future__ import annotations

from itertools import chain
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from pytorch_lightning.trainer.states import TrainerFn
from torch import nn
from torch.optim.swa_utils import AveragedModel

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
        super().__init__()
        self.decay = decay

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Begin with a copy of the weights."""
        if stage == "fit":
            self._average_model = RunningAverage(pl_module, self.decay)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Follow the weights, which have moved to the training device since."""
        assert self._average_model is not None
        self._average_model.module.to(pl_module.device)

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Go on averaging where training goes on; tests use the average that the file holds."""
        if trainer.state.fn == TrainerFn.FITTING:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)


class RunningAverage(AveragedModel):
    """The average of a module's parameters and buffers.

    How many weights it is of, `n_averaged`, stays in the computer's memory, whatever the device, so
    that no step waits for the device.

    Args:
        module: Copied.
        decay: As `AveragedWeights` has it.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        super().__init__(module, use_buffers=True)
        self.decay = decay

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Take the model's weights of now into account."""
        share = max(1 - self.decay, 1 / (int(self.n_averaged) + 1))
        means = chain(self.module.parameters(), self.module.buffers())
        pairs = list(zip(means, chain(model.parameters(), model.buffers()), strict=True))
        numbers = [pair for pair in pairs if pair[0].is_floating_point()]
        torch._foreach_lerp_([mean for mean, _ in numbers], [now for _, now in numbers], share)
        for mean, now in pairs:
            if not mean.is_floating_point():  # counts and masks among the buffers
                mean.copy_(now)
        self.n_averaged += 1
