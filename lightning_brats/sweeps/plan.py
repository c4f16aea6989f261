"""What a study does, from its configuration."""

from __future__ import annotations

import importlib.util
import itertools
import sys
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from lightning_brats.errors import ConfigError
from lightning_brats.parts import build
from lightning_brats.sweeps.budget import Budget
from lightning_brats.sweeps.outcome import COSTS, SCORE
from lightning_brats.sweeps.overrides import check, listed, merge, override
from lightning_brats.sweeps.space import Space
from lightning_brats.sweeps.storage import EXTRA

DIRECTIONS = ("maximize", "minimize")
RUN = (sys.executable, "-m", "lightning_brats.sweeps.trial")
"""What a trial runs, with the overrides behind it: the same as `experiments/run.py`."""


class Plan:
    """A grid to compare or a space to search, with its budget, objectives and limits.

    Args:
        settings: Configuration of `sweeps/run.py` as plain types; travels to the workers.

    Raises:
        ConfigError: The configuration cannot work.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = dict(settings)
        self.name: str = settings["name"]
        self.folder = Path(settings["runs"]).resolve() / self.name
        self.storage: str = settings["storage"] or f"sqlite:///{self.folder / 'study.db'}"
        self.objectives: dict[str, str] = dict(settings["objectives"])
        self.local = listed(settings["local"], "local")
        self.budget = Budget(settings["budget"])
        self._common = listed(settings["fixed"], "fixed")
        self._more = listed(settings["set"], "set")
        if (settings["grid"] is None) == (settings["space"] is None):
            raise ConfigError(f"the sweep '{self.name}' needs a grid or a space, and not both")
        self.space: Space | None = None
        self.first: list[dict[str, Any]] = []
        if settings["space"] is not None:
            self.space = Space(settings["space"], merge(self._common, self._more))
            self.first = [self.space.point(point) for point in settings["first"]]
            if settings["sampler"].get("exhaustive"):
                self.first += [point for point in self.space.points() if point not in self.first]
                most = settings["n_trials"] or len(self.first)
                self.settings["n_trials"] = min(most, len(self.first))
            number = self.settings["n_trials"]
            if not isinstance(number, int) or number < 1:
                raise ConfigError(f"n_trials={number}: a search needs a number")
        self._check_objectives()

    @property
    def command(self) -> list[str]:
        """What a trial runs; its overrides follow."""
        return [str(word) for word in self.settings["command"] or RUN]

    @property
    def repeats(self) -> list[list[str]]:
        """Overrides of each seed and fold."""
        return [
            [override(key, value) for key, value in (("seed", seed), ("fold", fold)) if value != ""]
            for seed, fold in itertools.product(
                self.settings["seeds"] or [""], self.settings["folds"] or [""]
            )
        ]

    @cached_property
    def cells(self) -> list[list[str]]:
        """Of a grid: the complete overrides of every cell, seed by seed.

        Raises:
            ConfigError: The grid is neither a list of lists nor a mapping of lists.
        """
        choices = _choices(self.settings["grid"])
        return [self.complete(cell, again) for again in self.repeats for cell in choices]

    def jobs(self, chosen: Sequence[str]) -> list[list[str]]:
        """Of a search: the complete overrides of the runs that make up a trial."""
        return [self.complete(chosen, again) for again in self.repeats]

    def complete(self, *parts: Sequence[str]) -> list[str]:
        """Overrides of one run: fixed ones, its own, the user's, and the budget's."""
        merged = merge(self._common, *parts, self._more)
        return [*merged, *self.budget.overrides(merged)]

    def settled(self) -> dict[str, Any]:
        """What must not change while a study goes on; a grid's cells may come and go."""
        names = ["objectives"]
        if self.space is not None:
            names += ["space", "fixed", "set", "budget", "seeds", "folds"]
        return {name: self.settings[name] for name in names}

    def sampler(self, number: int) -> BaseSampler:
        """For one trial: with a seed of its own, so that the order of workers does not matter.

        Raises:
            ConfigError: The sampler refuses its settings, or needs a package.
        """
        seed = (self.settings["sampler_seed"] + number) % 2**32
        wants_cmaes = str(self.settings["sampler"]["_target_"]).endswith("CmaEsSampler")
        if wants_cmaes and importlib.util.find_spec("cmaes") is None:
            raise ConfigError("sampler=cmaes: the package cmaes is not installed", remedy=EXTRA)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            own = {k: v for k, v in self.settings["sampler"].items() if k != "exhaustive"}
            sampler: BaseSampler = build(own, seed=seed)
        return sampler

    def pruner(self) -> BasePruner | None:
        """What stops hopeless trials early, if anything.

        Raises:
            ConfigError: The pruner refuses its settings.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            pruner: BasePruner | None = build(self.settings["pruner"])
        return pruner

    def _check_objectives(self) -> None:
        for name, direction in self.objectives.items():
            if not name.startswith("val/") and name not in COSTS:
                raise ConfigError(
                    f"objectives.{name}: a study is judged by validation scores (val/…) and costs "
                    f"({', '.join(COSTS)}); the test cases must not choose"
                )
            if direction not in DIRECTIONS:
                raise ConfigError(f"objectives.{name}={direction}: maximize or minimize")
        if not self.objectives:
            raise ConfigError("objectives: name one at least", remedy=f"{SCORE}: maximize")
        if len(self.objectives) > 1 and self.settings["pruner"] is not None:
            raise ConfigError("several objectives cannot be pruned", remedy="pruner=none")


def _choices(grid: Any) -> list[list[str]]:
    if isinstance(grid, Mapping):
        for key, values in grid.items():
            if not isinstance(values, list):
                raise ConfigError(f"grid.{key}={values}: must be a list of values")
        axes = [[override(str(key), value) for value in values] for key, values in grid.items()]
        return [list(cell) for cell in itertools.product(*axes)]
    if not isinstance(grid, list) or not all(isinstance(cell, list) for cell in grid):
        raise ConfigError(
            "grid: must be lists of overrides, or a mapping from keys to values",
            remedy="grid: {model: [unet, attention_unet]}",
        )
    return [check(cell, "grid") for cell in grid]
