"""How a run that is a trial tells its study how it does, and learns whether to go on."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

TRIAL = "LIGHTNING_BRATS_TRIAL"
"""Environment variable of a run that reports: JSON of `storage`, `study`, `number`, `pruner`."""

PRUNED = "pruned.json"
"""Left in the folder of a run that its study gave up."""

logger = logging.getLogger(__name__)


def from_environment() -> Callable[[int, float], bool] | None:
    """What reports (epoch, score) and answers whether to stop; `None` where no study listens."""
    if not os.environ.get(TRIAL):
        return None
    return Reporter(json.loads(os.environ[TRIAL]))


class Reporter:
    """Reports a trial's scores to its study; connects when the first one comes.

    Args:
        settings: Of the environment variable.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = settings
        self._trial: Any = None

    def __call__(self, step: int, score: float) -> bool:
        """Whether the study's pruner gives the trial up; a study out of reach stops nobody.

        Args:
            step: Epochs so far.
            score: Of the validation.
        """
        try:
            self._trial = self._trial or self._connect()
            self._trial.report(score, step)
            return bool(self._trial.should_prune())
        except Exception as error:  # each storage fails in its own way
            logger.warning("the study could not be told of epoch %s: %s", step, error)
            return False

    def _connect(self) -> Any:
        import optuna

        from lightning_brats.parts import build
        from lightning_brats.sweeps.storage import open_storage

        study = optuna.load_study(
            study_name=self.settings["study"],
            storage=open_storage(self.settings["storage"]),
            sampler=optuna.samplers.RandomSampler(),  # nothing is left to sample
            pruner=build(self.settings["pruner"]),
        )
        trial = study.get_trials(deepcopy=False)[self.settings["number"]]
        return optuna.Trial(study, trial._trial_id)
