"""What a study's trials amount to: one entry a cell or search point, with its newest attempt.

Optuna's finished trials never change, so a trial that was cut short fails, and another one follows
it with the same parameters. Of several followers, which workers may add at the same moment, the
first counts; of several trials for one cell likewise. Nothing here needs a lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from optuna.trial import FrozenTrial, TrialState

State = Literal["waiting", "running", "done", "pruned", "failed"]
FOLLOWS, OVERRIDES, AGAIN, ERROR, IDENTITY = "follows", "overrides", "again", "error", "id"
LET_GO = "let_go"
"""User attributes of a trial; the last says why an attempt was cut short."""
KILLED, STOPPED = "killed", "stopped"
"""Reasons: its worker died, which counts as a try; or it was asked to stop, which does not."""


@dataclass(frozen=True)
class Entry:
    """One cell or search point.

    Args:
        root: Number of its first trial; names its folder.
        trial: The newest attempt.
        kills: Attempts whose worker died.
        retries: How many of them are forgiven.
    """

    root: int
    trial: FrozenTrial
    kills: int
    retries: int

    @property
    def state(self) -> State:
        """Where it stands."""
        if self.cut_short:
            return "waiting"
        return {
            TrialState.WAITING: "waiting",
            TrialState.RUNNING: "running",
            TrialState.COMPLETE: "done",
            TrialState.PRUNED: "pruned",
            TrialState.FAIL: "failed",
        }[self.trial.state]  # type: ignore[return-value]

    @property
    def cut_short(self) -> bool:
        """Whether another attempt has to follow."""
        reason = self.trial.user_attrs.get(LET_GO)
        failed = self.trial.state == TrialState.FAIL and reason is not None
        return failed and (reason == STOPPED or self.kills <= self.retries)

    @property
    def error(self) -> str:
        """Why it failed."""
        if self.kills > self.retries:
            return f"its worker was killed {self.kills} times"
        return str(self.trial.user_attrs.get(ERROR, ""))

    @property
    def cell(self) -> tuple[str, ...]:
        """What tells cells apart; empty in a search."""
        return cell_key(self.trial.user_attrs.get(OVERRIDES, ()))


def cell_key(overrides: Iterable[str]) -> tuple[str, ...]:
    """The same for the same overrides in another order."""
    return tuple(sorted(overrides))


def gather(trials: Sequence[FrozenTrial], retries: int) -> list[Entry]:
    """All entries, by the number of their first trial."""
    newest: dict[int, Entry] = {}  # by the number of the newest attempt
    for trial in sorted(trials, key=lambda trial: trial.number):
        follows = trial.user_attrs.get(FOLLOWS)
        before = newest.pop(follows, None) if follows is not None else None
        if follows is not None and before is None:
            continue  # not the first to follow
        killed = trial.user_attrs.get(LET_GO) == KILLED and trial.state == TrialState.FAIL
        kills = (before.kills if before else 0) + killed
        root = before.root if before else trial.number
        newest[trial.number] = Entry(root, trial, kills, retries)
    return sorted(newest.values(), key=lambda entry: entry.root)


def of_cells(entries: Iterable[Entry]) -> dict[tuple[str, ...], Entry]:
    """Of a grid: the entry that counts for each cell, the newest that was asked for."""
    counting: dict[tuple[str, ...], Entry] = {}
    for entry in entries:
        held = counting.get(entry.cell)
        if held is None or _again(entry) > _again(held):
            counting[entry.cell] = entry
    return counting


def _again(entry: Entry) -> int:
    return int(entry.trial.user_attrs.get(AGAIN, 0))
