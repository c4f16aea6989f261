"""Beginning a study, or finding it again and seeing that it is the same."""

from __future__ import annotations

import warnings

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage
from optuna.study import StudyDirection

from lightning_brats.errors import ConfigError
from lightning_brats.sweeps.plan import Plan

SETTLED = "settled"
"""User attribute of a study: what its plan may not change."""


def open_study(plan: Plan, storage: BaseStorage, create: bool) -> optuna.Study:
    """The study of a plan.

    Args:
        plan: What to do.
        storage: Where it is kept.
        create: Whether to begin it where there is none.

    Raises:
        ConfigError: No such study, or one with other settings.
    """
    study = _begun(plan, storage) if create else _found(plan, storage)
    before, now = study.user_attrs.get(SETTLED, {}), plan.settled()
    other = [key for key in now if before.get(key) != now[key]]
    if other:
        raise ConfigError(
            f"the study '{plan.name}' was begun with other settings "
            f"({', '.join(f'{key}: {before.get(key)} → {now[key]}' for key in other)})",
            remedy="give the same settings as before, or another name=",
        )
    study.pruner = plan.pruner() or optuna.pruners.NopPruner()
    return study


def _begun(plan: Plan, storage: BaseStorage) -> optuna.Study:
    study = optuna.create_study(
        storage=storage,
        study_name=plan.name,
        directions=[StudyDirection[word.upper()] for word in plan.objectives.values()],
        load_if_exists=True,
    )
    if SETTLED not in study.user_attrs:
        study.set_user_attr(SETTLED, plan.settled())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            study.set_metric_names(list(plan.objectives))
    return study


def _found(plan: Plan, storage: BaseStorage) -> optuna.Study:
    try:
        return optuna.load_study(study_name=plan.name, storage=storage)
    except KeyError as error:
        raise ConfigError(
            f"there is no study '{plan.name}' yet", remedy="begin it with sweeps/run.py"
        ) from error
