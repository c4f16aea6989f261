"""How long a training is; how far it is, is in callbacks/test_progress.py."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl

from lightning_brats.clock import total_steps
from lightning_brats.errors import ConfigError


def trainer(**settings: Any) -> pl.Trainer:
    return pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, **settings)


def test_steps_are_a_whole_number() -> None:
    given = SimpleNamespace(estimated_stepping_batches=12.0)
    steps = total_steps(given)
    assert steps == 12
    assert isinstance(steps, int)


def test_a_training_without_end_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"trainer\.max_epochs or trainer\.max_steps"):
        total_steps(trainer(max_epochs=-1))
