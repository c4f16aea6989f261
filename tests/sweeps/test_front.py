"""The Pareto front of five made-up trials, by hand."""

from optuna.trial import TrialState, create_trial

from lightning_brats.sweeps.entries import Entry
from lightning_brats.sweeps.front import best, front


def entry(number: int, *values: float) -> Entry:
    trial = create_trial(state=TrialState.COMPLETE, values=list(values))
    return Entry(number, trial, 0, 0)


def test_the_front_is_what_nothing_else_beats() -> None:
    objectives = {"val/dice_mean": "maximize", "train_seconds": "minimize"}
    found = [
        entry(0, 0.9, 100),  # the best score
        entry(1, 0.8, 50),
        entry(2, 0.8, 60),  # as good as 1, slower
        entry(3, 0.7, 55),  # worse and slower than 1
        entry(4, 0.1, 1),  # the cheapest
    ]
    assert [e.root for e in front(found, objectives)] == [0, 1, 4]
    top = best(found, objectives)
    assert top
    assert top.root == 0


def test_equal_trials_are_all_on_the_front_and_the_first_is_best() -> None:
    found = [entry(0, 0.5), entry(1, 0.5), entry(2, 0.4)]
    assert [e.root for e in front(found, {"val/dice_mean": "maximize"})] == [0, 1]
    top = best(found, {"val/dice_mean": "maximize"})
    assert top
    assert top.root == 0


def test_nothing_done_has_no_best() -> None:
    waiting = Entry(0, create_trial(state=TrialState.WAITING), 0, 0)
    assert best([waiting], {"val/dice_mean": "maximize"}) is None
    assert front([waiting], {"val/dice_mean": "maximize"}) == []
