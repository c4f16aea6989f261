"""A worker: takes a trial, carries it out in a process of its own, and says what it came to."""

from __future__ import annotations

import multiprocessing
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from optuna.trial import Trial, TrialState

from lightning_brats.errors import BratsError
from lightning_brats.sweeps import entries, guard, outcome, owner
from lightning_brats.sweeps.entries import Entry
from lightning_brats.sweeps.job import Job, jobs_of
from lightning_brats.sweeps.ledger import Ledger
from lightning_brats.sweeps.plan import Plan
from lightning_brats.sweeps.storage import patiently

DONE, BROKEN, STOPPED, FAILING = 0, 1, 130, 3
"""Exit status of a worker: nothing left to do; cannot work; was asked to stop; all trials fail."""
LOOK = 0.5
"""Seconds between two looks at a running trial."""


class Slot(NamedTuple):
    """A worker's share of a host: `gpus` as CUDA names them, `cores` by number, or all."""

    number: int
    gpus: tuple[str, ...] = ()
    cores: tuple[int, ...] = ()


def work(settings: Mapping[str, Any], slot: Slot, past: frozenset[int]) -> None:
    """Entry of a worker's process; ends it with one of the statuses above.

    Args:
        settings: Of the plan.
        slot: Share of the host.
        past: Trials that had failed before the command was given.
    """
    os.setpgrp()  # Ctrl-C reaches the command, which passes it on
    if slot.cores:
        os.sched_setaffinity(0, slot.cores)
    try:
        sys.exit(Worker(Plan(settings), slot, past).run())
    except BratsError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(BROKEN)


class Worker:
    """Works through a study until nothing is left.

    Args:
        plan: What to do.
        slot: Share of the host.
        past: Trials that had failed before.
    """

    def __init__(self, plan: Plan, slot: Slot, past: frozenset[int]) -> None:
        self.plan, self.slot, self.past = plan, slot, past
        self.asked = 0
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)
        self.ledger = Ledger(plan)
        self.owner = owner.identify()

    def _ask(self, *_: Any) -> None:
        self.asked += 1

    @property
    def stopping(self) -> bool:
        """Whether to stop: somebody asked, or the command that started this worker is gone."""
        parent = multiprocessing.parent_process()
        if not self.asked and parent is not None and not parent.is_alive():
            self.asked = 1
        return self.asked > 0

    def run(self) -> int:
        """Take trials until there are none; the exit status."""
        pause = min(LOOK, self.plan.settings["heartbeat"])
        while not self.stopping:
            found = patiently(self.ledger.entries)
            if self.ledger.tidy(found):
                continue  # what was begun comes before what was not
            if self.ledger.failing(found, self.past):
                return FAILING
            claimed = self.ledger.claim(found, self.owner)
            if claimed is not None:
                self._carry_out(*claimed)
            elif self.ledger.quiet(found):
                return DONE
            else:
                time.sleep(pause)
        return STOPPED

    def _carry_out(self, entry: Entry, trial: Trial) -> None:
        """Run a trial's jobs, one after the other, and end it."""
        try:
            self._judge(trial, jobs_of(self.plan, entry, trial))
        except (BratsError, ValueError, OSError) as error:
            self.ledger.fail(trial, str(error))

    def _judge(self, trial: Trial, jobs: list[Job]) -> None:
        found: list[list[float]] = []
        for job in jobs:
            status = self._run(job, trial)
            if status is None:
                return
            if outcome.was_pruned(job.folder):
                return self.ledger.tell(trial, state=TrialState.PRUNED)
            if status:
                why = f"{outcome.explain(status, job.log)}\nlog: {job.log}"
                return self.ledger.fail(trial, why)
            found.append(outcome.values(job.folder, self.plan.objectives))
            if len(jobs) > 1 and self._hopeless(trial, job.number, found[-1]):
                return self.ledger.tell(trial, state=TrialState.PRUNED)
        self.ledger.tell(trial, [fmean(column) for column in zip(*found, strict=True)])

    def _hopeless(self, trial: Trial, step: int, values: list[float]) -> bool:
        """Report a seed's or fold's score; whether the pruner gives the others up."""
        if len(values) > 1:
            return False
        if step not in trial.storage.get_trial(trial._trial_id).intermediate_values:
            trial.report(values[0], step)
        return trial.should_prune()

    def _run(self, job: Job, trial: Trial) -> int | None:
        """Exit status of a job; `None` where it did not come to its end: the trial is let go."""
        if (status := outcome.ended(job.outcome)) is None:
            ours = self._watch_over(self._start(job, trial), trial)
            status = outcome.ended(job.outcome)
            if not ours:
                return None
        if status is None and self.asked:
            self.ledger.let_go(trial._trial_id, entries.STOPPED)
        elif status is None:
            why = outcome.explain(-signal.SIGKILL, job.log)
            self.ledger.fail(trial, f"{why}\nlog: {job.log}")
        return status

    def _start(self, job: Job, trial: Trial) -> subprocess.Popen:
        command = [*self.plan.command, *job.overrides, *self.plan.local]
        if len(self.slot.gpus) > 1:
            command.append(f"trainer.devices={len(self.slot.gpus)}")
        with job.log.open("a") as log:
            print(f"$ {shlex.join(command)}", file=log, flush=True)
            files = [str(job.lock), str(job.outcome)]
            return subprocess.Popen(
                [sys.executable, "-I", str(Path(guard.__file__)), *files, *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=job.environment(self.plan, trial, self.slot.gpus),
                start_new_session=True,
            )

    def _watch_over(self, process: subprocess.Popen, trial: Trial) -> bool:
        """Wait for a job, beat, pass on requests to stop; whether the trial is still ours."""
        assert process.stdin is not None
        every, sent, beats, due = self.plan.settings["heartbeat"], 0, 0, 0.0
        ours = True
        while process.poll() is None:
            if time.monotonic() >= due:
                beats, due = beats + 1, time.monotonic() + every
                ours = self.ledger.beat(trial, beats)
            if not ours or self.asked > 2:
                process.stdin.close()
                process.wait()
                break
            if self.stopping and sent < self.asked:
                sent += 1
                _send(process)
            try:
                process.wait(min(LOOK, every))
            except subprocess.TimeoutExpired:
                continue
        if not process.stdin.closed:
            process.stdin.close()
        return ours


def _send(process: subprocess.Popen) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(guard.STOP)
        process.stdin.flush()
    except BrokenPipeError:  # it has just ended
        return
