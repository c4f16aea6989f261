"""What every trial of a study may spend: the same wall-clock time, steps, samples or epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lightning_brats.errors import ConfigError
from lightning_brats.sweeps.overrides import key_of, value_of

UNITS = ("epochs", "steps", "samples", "minutes")
LIMITS = ("trainer.max_epochs", "trainer.max_steps", "trainer.max_time")
ENDLESS = 100_000
"""Epochs that no run comes to; some schedules need a number."""


class Budget:
    """Turns a budget into overrides of the trainer.

    Args:
        settings: `unit` (one of `UNITS`) and `amount`; no unit leaves the trainer as it is.

    Raises:
        ConfigError: An unknown unit, or an amount that is not positive.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.unit, self.amount = settings["unit"], settings["amount"]
        if self.unit is None:
            return
        if self.unit not in UNITS:
            raise ConfigError(f"budget.unit={self.unit}: must be one of {', '.join(UNITS)}")
        if not isinstance(self.amount, (int, float)) or self.amount <= 0:
            raise ConfigError(f"budget.amount={self.amount}: must be a positive number")

    def __str__(self) -> str:
        return f"{self.amount:g} {self.unit} each" if self.unit else "as the trainer says"

    def overrides(self, others: Sequence[str]) -> list[str]:
        """What keeps a run with these other overrides within the budget.

        Raises:
            ConfigError: Another override sets a limit too, or the batch size is not known.
        """
        if self.unit is None:
            return []
        own = [text for text in others if key_of(text) in LIMITS]
        if own:
            raise ConfigError(
                f"{own[0]} stands against the budget of {self}",
                remedy="change budget.unit and budget.amount instead",
            )
        if self.unit == "epochs":
            return [f"trainer.max_epochs={math.ceil(self.amount)}"]
        if self.unit == "minutes":
            steady = any(key_of(text) == "scheduler" for text in others)
            return [
                f"trainer.max_epochs={ENDLESS}",
                f'+trainer.max_time="{_duration(self.amount)}"',
                # A schedule over steps would not know when the time is up.
                *([] if steady else ["scheduler=constant"]),
            ]
        steps = self.amount if self.unit == "steps" else self.amount / _samples_a_step(others)
        return [f"trainer.max_epochs={ENDLESS}", f"trainer.max_steps={math.ceil(steps)}"]


def _samples_a_step(overrides: Sequence[str]) -> int:
    """Patches that one step of the optimiser sees."""
    found = {key_of(text): value_of(text) for text in overrides}
    batch, devices = found.get("queue.batch_size"), found.get("trainer.devices", 1)
    if not isinstance(batch, int) or not isinstance(devices, int):
        raise ConfigError(
            "a budget in samples needs to know queue.batch_size and trainer.devices as numbers",
            remedy="+set.queue.batch_size=2, or another budget.unit",
        )
    return batch * devices * found.get("trainer.accumulate_grad_batches", 1)


def _duration(minutes: float) -> str:
    """Days, hours, minutes and seconds as Lightning's `max_time` wants them."""
    seconds = max(1, round(minutes * 60))
    days, rest = divmod(seconds, 86400)
    return f"{days:02}:{rest // 3600:02}:{rest % 3600 // 60:02}:{rest % 60:02}"
