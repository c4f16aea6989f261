"""How far a training is that may be limited in steps, in time or in both."""

from __future__ import annotations

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Timer


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


def _timers(trainer: pl.Trainer) -> list[Timer]:
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    return [callback for callback in callbacks if isinstance(callback, Timer)]
