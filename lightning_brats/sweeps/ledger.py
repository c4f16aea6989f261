"""A study and its storage: adding, taking, finishing and putting back trials.

Nothing but Optuna's own atomic steps is relied on: a waiting trial becomes a running one for one
worker alone, and a trial ends once. All else may be done by several workers at the same moment, or
be left half done by one that is killed; see `entries`.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from lightning_brats.errors import ConfigError
from lightning_brats.sweeps import entries
from lightning_brats.sweeps.entries import Entry, cell_key, gather, of_cells
from lightning_brats.sweeps.opening import open_study
from lightning_brats.sweeps.owner import BEAT, OWNER, Watch
from lightning_brats.sweeps.plan import Plan
from lightning_brats.sweeps.storage import open_storage, patiently, shown_url


class Ledger:
    """The trials of a plan's study.

    Args:
        plan: What to do.
        create: Whether to begin the study where there is none.

    Raises:
        ConfigError: No such study, or one with other settings.
    """

    def __init__(self, plan: Plan, create: bool = False) -> None:
        self.plan = plan
        self.storage = open_storage(plan.storage)
        self.study = open_study(plan, self.storage, create)
        self.retries = int(plan.settings["retries"])
        self.watch = Watch(plan.settings["grace"])

    def entries(self) -> list[Entry]:
        """What the plan wants, as far as it is in the study."""
        found = gather(self.study.get_trials(deepcopy=False), self.retries)
        if self.plan.space is not None:
            return found[: self.plan.settings["n_trials"]]
        counting = of_cells(found)
        wanted = (cell_key(cell) for cell in self.plan.cells)
        return [counting[key] for key in dict.fromkeys(wanted) if key in counting]

    def fill(self, retry_failed: bool = False) -> int:
        """Add what is missing; the number of trials added.

        Args:
            retry_failed: Give cells of a grid that failed another trial.

        Raises:
            ConfigError: The study is new, and its folder is not.
        """
        if not self.study.get_trials(deepcopy=False):
            self._check_empty()
        if self.plan.space is not None:
            begun, wanted = len(self.entries()), int(self.plan.settings["n_trials"])
            for number in range(begun, wanted):
                points = self.plan.first[number : number + 1]
                self._add({}, {"fixed_params": points[0]} if points else {})  # Optuna's own name
            return max(wanted - begun, 0)
        held = {entry.cell: entry for entry in self.entries()}
        added = 0
        for cell in {cell_key(cell): cell for cell in self.plan.cells}.values():
            entry = held.get(cell_key(cell))
            if entry is not None and not (retry_failed and entry.state == "failed"):
                continue
            again = 1 + entry.trial.user_attrs[entries.AGAIN] if entry is not None else 0
            self._add({entries.OVERRIDES: cell, entries.AGAIN: again})
            added += 1
        return added

    def _check_empty(self) -> None:
        """Trials must not take another study's runs for their own."""
        if any(self.plan.folder.glob("trial-*")):
            raise ConfigError(
                f"the study '{self.plan.name}' is new in its storage "
                f"({shown_url(self.plan.storage)}), but its folder holds trials",
                file=self.plan.folder,
                remedy="name the storage they belong to, move the folder away, or give another "
                "name=",
            )

    def _add(self, attributes: dict[str, Any], own: dict[str, Any] | None = None) -> None:
        identity = {entries.IDENTITY: uuid.uuid4().hex[:8]}
        trial = create_trial(
            state=TrialState.WAITING,
            user_attrs=attributes | identity,
            system_attrs=own,
        )
        patiently(self.study.add_trial, trial)

    def claim(self, found: Iterable[Entry], owner: dict[str, Any]) -> tuple[Entry, Trial] | None:
        """Take one of the waiting trials; nobody else gets it."""
        for entry in found:
            if entry.trial.state != TrialState.WAITING:
                continue
            identifier = entry.trial._trial_id
            with contextlib.suppress(UpdateFinishedTrialError):
                if patiently(self._take, identifier):
                    patiently(self.storage.set_trial_user_attr, identifier, OWNER, owner)
                    self.study.sampler = self.plan.sampler(entry.root)
                    return entry, Trial(self.study, identifier)
        return None

    def _take(self, identifier: int) -> bool:
        return self.storage.set_trial_state_values(identifier, TrialState.RUNNING)

    def beat(self, trial: Trial, count: int) -> bool:
        """Say that the worker lives; whether the trial is still its own."""
        try:
            if self.storage.get_trial(trial._trial_id).state != TrialState.RUNNING:
                return False
            self.storage.set_trial_user_attr(trial._trial_id, BEAT, count)
        except UpdateFinishedTrialError:
            return False
        except optuna.exceptions.StorageInternalError:
            pass  # away for a moment: nobody can take the trial either
        return True

    def tell(
        self, trial: Trial, values: list[float] | None = None, state: TrialState | None = None
    ) -> None:
        """End a trial, unless another worker has ended it."""
        with contextlib.suppress(UpdateFinishedTrialError):
            patiently(self.study.tell, trial.number, values, state, skip_if_finished=True)

    def fail(self, trial: Trial, why: str) -> None:
        """End a trial without a result, and say why."""
        with contextlib.suppress(UpdateFinishedTrialError):
            patiently(self.storage.set_trial_user_attr, trial._trial_id, entries.ERROR, why)
        self.tell(trial, state=TrialState.FAIL)

    def let_go(self, identifier: int, reason: str) -> None:
        """End an attempt, so that another can follow."""
        with contextlib.suppress(UpdateFinishedTrialError):
            patiently(self.storage.set_trial_user_attr, identifier, entries.LET_GO, reason)
            patiently(self.storage.set_trial_state_values, identifier, TrialState.FAIL)

    def tidy(self, found: Iterable[Entry]) -> bool:
        """End attempts of dead workers, and add those that follow; whether there were any."""
        changed = False
        for entry in found:
            if entry.state == "running" and self.watch.judge(entry.trial) == "dead":
                self.let_go(entry.trial._trial_id, entries.KILLED)
                changed = True
            elif entry.cut_short:
                patiently(self.study.add_trial, _successor(entry.trial))
                changed = True
        return changed

    def quiet(self, found: Sequence[Entry]) -> bool:
        """Whether nothing waits, and whatever runs is in living hands."""
        running = [entry.trial for entry in found if entry.state == "running"]
        waiting = any(entry.state == "waiting" for entry in found)
        return not waiting and all(self.watch.judge(trial) == "alive" for trial in running)

    def failing(self, found: Iterable[Entry], past: frozenset[int]) -> bool:
        """Whether the newest trials have all failed.

        Args:
            found: All entries.
            past: Numbers of trials that had failed before.
        """
        limit = self.plan.settings["max_failures"]
        ended = [
            entry
            for entry in found
            if entry.state in ("done", "pruned", "failed") and entry.trial.number not in past
        ]
        ended.sort(key=lambda entry: entry.trial.datetime_complete or datetime.max)
        return len(ended) >= limit and all(entry.state == "failed" for entry in ended[-limit:])


def _successor(trial: FrozenTrial) -> FrozenTrial:
    """A waiting trial with the same parameters, to go on in the same folder."""
    left = (entries.LET_GO, OWNER, BEAT)
    kept = {key: value for key, value in trial.user_attrs.items() if key not in left}
    return create_trial(
        state=TrialState.WAITING,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs=kept | {entries.FOLLOWS: trial.number},
        system_attrs=trial.system_attrs,
        intermediate_values=trial.intermediate_values,
    )
