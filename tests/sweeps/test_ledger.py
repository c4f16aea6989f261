"""Filling a study, taking trials, and putting them back."""

import multiprocessing
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from sweep_parts import plan_of, settings

from lightning_brats.errors import ConfigError
from lightning_brats.sweeps import entries, owner
from lightning_brats.sweeps.entries import KILLED, STOPPED
from lightning_brats.sweeps.ledger import Ledger, _successor
from lightning_brats.sweeps.owner import OWNER
from lightning_brats.sweeps.plan import Plan

GRID = "grid={model:[a,b,c]}"


@pytest.fixture(params=["sqlite", "journal"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"storage={request.param}:///{tmp_path / 'study.db'}"


def ledger(folder: Path, *overrides: str) -> Ledger:
    return Ledger(plan_of(folder, *overrides), create=True)


def states(book: Ledger) -> list[str]:
    return [entry.state for entry in book.entries()]


def finish(book: Ledger, value: float = 0.5) -> None:
    claimed = book.claim(book.entries(), owner.identify())
    assert claimed
    book.tell(claimed[1], [value])


def test_filling_again_adds_nothing(tmp_path: Path, storage: str) -> None:
    book = ledger(tmp_path, GRID, "seeds=[0,1]", storage)
    assert book.fill() == 6
    assert book.fill() == 0
    assert ledger(tmp_path, GRID, "seeds=[0,1]", storage).fill() == 0


def test_more_seeds_add_what_is_missing_and_keep_what_is_done(tmp_path: Path) -> None:
    book = ledger(tmp_path, GRID)
    book.fill()
    finish(book)
    more = ledger(tmp_path, GRID, "seeds=[0,1]")
    assert more.fill() == 3
    assert states(more) == ["done", *["waiting"] * 5]
    fewer = ledger(tmp_path, "grid={model:[b]}")
    assert fewer.fill() == 0
    assert states(fewer) == ["waiting"]


def test_cells_that_two_hosts_add_at_once_count_once(tmp_path: Path) -> None:
    book = ledger(tmp_path, GRID)
    book.fill()
    for cell in book.plan.cells:  # what a second host does that looked before the first was done
        book._add({entries.OVERRIDES: cell, entries.AGAIN: 0})
    assert len(book.study.trials) == 6
    assert states(book) == ["waiting"] * 3
    for _ in range(3):
        finish(book)
    assert book.claim(book.entries(), owner.identify()) is None


def test_a_search_has_so_many_trials_however_many_fill_it(tmp_path: Path) -> None:
    book = ledger(tmp_path, "space={x:[1,2]}", "n_trials=3")
    book.fill()
    book._add({})
    assert len(book.entries()) == 3
    more = ledger(tmp_path, "space={x:[1,2]}", "n_trials=6")
    assert more.fill() == 2
    assert len(more.entries()) == 6


def test_a_search_begins_with_the_points_it_is_given(tmp_path: Path) -> None:
    options = ("space={x:{low:0.0,high:1.0},y:[a,b]}", "n_trials=3", "sampler=random")
    book = ledger(tmp_path, *options, "first=[{x:0.25,y:b},{x:0.75}]")
    book.fill()
    assert book.plan.space
    drawn = []
    for _ in range(3):
        claimed = book.claim(book.entries(), owner.identify())
        assert claimed
        drawn.append(book.plan.space.sample(claimed[1]))
    assert drawn[0] == ["x=0.25", "y=b"]
    assert drawn[1][0] == "x=0.75"
    assert drawn[2][0] not in ("x=0.25", "x=0.75")


def test_a_search_begun_otherwise_is_refused(tmp_path: Path) -> None:
    ledger(tmp_path, "space={x:[1,2]}", "n_trials=3")
    with pytest.raises(ConfigError, match=r"space[\s\S]*another name="):
        ledger(tmp_path, "space={x:[1,2,3]}", "n_trials=3")


def test_status_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no study 'study' yet"):
        Ledger(plan_of(tmp_path, GRID))


def test_a_trial_that_is_cut_short_is_followed_by_its_like(tmp_path: Path, storage: str) -> None:
    book = ledger(tmp_path, "space={x:{low:0.0,high:1.0}}", "n_trials=1", storage)
    book.fill()
    claimed = book.claim(book.entries(), owner.identify())
    assert claimed
    assert book.plan.space
    chosen = book.plan.space.sample(claimed[1])
    claimed[1].report(0.3, 2)
    book.let_go(claimed[1]._trial_id, KILLED)
    assert states(book) == ["waiting"]
    book.tidy(book.entries())
    book.tidy(book.entries())
    assert len(book.study.trials) == 2
    again = book.claim(book.entries(), owner.identify())
    assert again
    assert again[0].root == 0
    assert book.plan.space.sample(again[1]) == chosen
    assert book.study.trials[1].intermediate_values == {2: 0.3}
    assert not book.beat(claimed[1], 1)  # the first worker learns that it has lost the trial
    assert book.beat(again[1], 1)
    book.tell(claimed[1], [0.1])
    book.tell(again[1], [0.9])
    assert [entry.trial.values for entry in book.entries()] == [[0.9]]


def test_two_followers_count_once(tmp_path: Path) -> None:
    book = ledger(tmp_path, "grid={model:[a]}")
    book.fill()
    claimed = book.claim(book.entries(), owner.identify())
    assert claimed
    book.let_go(claimed[1]._trial_id, KILLED)
    (entry,) = book.entries()
    for _ in range(2):  # two workers that tidied at the same moment
        book.study.add_trial(_successor(entry.trial))
    finish(book)
    assert book.claim(book.entries(), owner.identify()) is None
    assert states(book) == ["done"]


def cut_short(book: Ledger, reason: str) -> None:
    book.tidy(book.entries())
    claimed = book.claim(book.entries(), owner.identify())
    assert claimed
    book.let_go(claimed[1]._trial_id, reason)


def test_kills_are_forgiven_so_often_and_stops_always(tmp_path: Path) -> None:
    book = ledger(tmp_path, "grid={model:[a]}", "retries=2")
    book.fill()
    for _ in range(4):
        cut_short(book, STOPPED)
    for _ in range(2):
        cut_short(book, KILLED)
    assert states(book) == ["waiting"]
    cut_short(book, KILLED)
    assert states(book) == ["failed"]
    assert "killed 3 times" in book.entries()[0].error
    book.tidy(book.entries())
    assert book.claim(book.entries(), owner.identify()) is None
    assert book.fill(retry_failed=True) == 1
    assert states(book) == ["waiting"]
    finish(book)
    assert states(book) == ["done"]


def test_a_dead_worker_s_trial_is_put_back_and_a_living_one_s_is_not(tmp_path: Path) -> None:
    book = ledger(tmp_path, "grid={model:[a,b]}")
    book.fill()
    assert book.claim(book.entries(), owner.identify() | {"pid": 2**22 + 1})
    assert book.claim(book.entries(), owner.identify())
    assert not book.quiet(book.entries())
    book.tidy(book.entries())
    assert states(book) == ["waiting", "running"]
    book.tidy(book.entries())
    assert [t.state for t in book.study.trials] == [
        TrialState.FAIL,
        TrialState.RUNNING,
        TrialState.WAITING,
    ]


def test_on_another_host_the_beat_counts(tmp_path: Path) -> None:
    book = ledger(tmp_path, "grid={model:[a]}", "grace=0.3")
    book.fill()
    claimed = book.claim(book.entries(), owner.identify() | {"place": "elsewhere"})
    assert claimed
    trial = claimed[1]

    def judged() -> str:
        return book.watch.judge(book.study.trials[0])

    assert judged() == "unknown"
    book.beat(trial, 1)
    assert judged() == "alive"
    assert judged() == "alive"
    book.watch._seen[0] = (book.watch._seen[0][0], book.watch._seen[0][1] - 1, True)
    assert judged() == "dead"


def take_all(given: dict[str, Any], taken: "multiprocessing.SimpleQueue[int]") -> None:
    book = Ledger(Plan(given))
    while claimed := book.claim(book.entries(), owner.identify()):
        taken.put(claimed[1].number)
        book.tell(claimed[1], [0.0])


def test_nobody_takes_what_another_has_taken(tmp_path: Path, storage: str) -> None:
    number = 12
    given = settings(f"runs={tmp_path}", f"grid={{x:{list(range(number))}}}", storage)
    book = Ledger(Plan(given), create=True)
    book.fill()
    context = multiprocessing.get_context("spawn")
    taken: multiprocessing.SimpleQueue[int] = context.SimpleQueue()
    workers = [context.Process(target=take_all, args=(given, taken)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    found = []
    while not taken.empty():
        found.append(taken.get())
    assert sorted(found) == list(range(number))
    assert all(OWNER in trial.user_attrs for trial in book.study.trials)
