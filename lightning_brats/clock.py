"""How far a training is that may be limited in steps, in time or in both."""

from __future__ import annotations

import math

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Timer

from lightning_brats.errors import ConfigError


def share_done(trainer: pl.Trainer, steps: float) -> float:
    """Share of a training that is done: of its steps or of its time, whichever ends it first.

    Args:
        trainer: Perhaps with `max_time`.
        steps: It would take without.
    """
    share = trainer.global_step / max(steps, 1)
    for timer in _timers(trainer):
        spent, left = timer.time_elapsed(), timer.time_remaining()
        if left is not None:
            share = max(share, spent / max(spent + left, 1e-9))
    return share


def seconds_left(trainer: pl.Trainer) -> float | None:
    """What `max_time` leaves, at least 0; `None` without."""
    left = [timer.time_remaining() for timer in _timers(trainer)]
    known = [max(seconds, 0.0) for seconds in left if seconds is not None]
    return min(known, default=None)


def total_steps(trainer: pl.Trainer) -> int:
    """Steps of a training, which schedules need to know.

    Raises:
        ConfigError: Neither epochs nor steps are limited.
    """
    steps = trainer.estimated_stepping_batches
    if math.isinf(steps):
        raise endless()
    return int(steps)


def endless() -> ConfigError:
    """Says that a training has no end in epochs or steps."""
    return ConfigError(
        "the training is limited neither in epochs nor in steps, and schedules need to know its "
        "end",
        remedy="give trainer.max_epochs or trainer.max_steps; with trainer.max_time, as many as it "
        "may take at most, such as trainer.max_epochs=100000 scheduler=constant",
    )


def _timers(trainer: pl.Trainer) -> list[Timer]:
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    return [callback for callback in callbacks if isinstance(callback, Timer)]
