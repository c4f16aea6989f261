"""One worker in this process, working through studies of fake trials."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sweep_parts import plan_of, runs

from lightning_brats.errors import ConfigError
from lightning_brats.sweeps import printing
from lightning_brats.sweeps.entries import Entry
from lightning_brats.sweeps.ledger import Ledger
from lightning_brats.sweeps.plan import Plan
from lightning_brats.sweeps.worker import DONE, FAILING, Slot, Worker


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def work(plan: Plan) -> int:
    book = Ledger(plan, create=True)
    book.fill(plan.settings["retry_failed"])
    failed = frozenset(e.trial.number for e in book.entries() if e.state == "failed")
    return Worker(plan, Slot(0), failed).run()


def entries(plan: Plan) -> list[Entry]:
    return Ledger(plan).entries()


def printed(plan: Plan) -> str:
    with printing.console.capture() as text:
        printing.closing(Ledger(plan))
    return text.get()


def test_a_failing_trial_is_recorded_and_the_others_go_on(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, 'grid=[["x=1"],["fail=true"],["x=2"]]')
    assert work(plan) == DONE
    assert [entry.state for entry in entries(plan)] == ["done", "failed", "done"]
    text = printed(plan)
    assert "trial 1 failed: exit status 2" in text
    assert "what went wrong" in text
    assert str(tmp_path / "study" / "trial-0001.log") in text


def test_too_many_failures_in_a_row_stop_the_sweep(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "grid={fail:[true],x:[1,2,3,4,5,6,7]}", "max_failures=3")
    assert work(plan) == FAILING
    assert len(runs(tmp_path / "study")) == 3
    assert work(plan) == FAILING  # the same command tries the next ones
    assert len(runs(tmp_path / "study")) == 6


def test_failed_cells_get_another_trial_on_request_alone(tmp_path: Path) -> None:
    grid = "grid={fail:[true],x:[1]}"
    plan = plan_of(tmp_path, grid)
    assert work(plan) == DONE
    assert work(plan) == DONE
    assert len(runs(tmp_path / "study")) == 1
    assert work(plan_of(tmp_path, grid, "retry_failed=true")) == DONE
    assert len(runs(tmp_path / "study")) == 2
    assert len(entries(plan)) == 1


SEARCH = ("space={x:{low:0.0,high:1.0},cost:[1,5]}", "n_trials=4", "sampler=random")


def test_a_search_over_folds_averages_and_a_second_objective_counts(tmp_path: Path) -> None:
    options = (*SEARCH, "folds=[0,1]", "+objectives.train_seconds=minimize")
    plan = plan_of(tmp_path, *options)
    assert work(plan) == DONE
    for entry in entries(plan):
        score, cost = entry.trial.values
        assert score == pytest.approx(entry.trial.params["x"] + 0.5)  # the fake adds the fold
        assert cost == entry.trial.params["cost"]
    assert "Pareto front" in printed(plan)


def test_a_draw_is_the_same_whoever_draws(tmp_path: Path) -> None:
    first, second = (plan_of(tmp_path / name, *SEARCH) for name in "ab")
    assert work(first) == DONE
    book = Ledger(second, create=True)
    book.fill()
    for entry in reversed(book.entries()):  # another order, another sampler each
        claimed = book.claim([entry], {})
        assert claimed
        assert second.space
        second.space.sample(claimed[1])
    assert [e.trial.params for e in entries(first)] == [e.trial.params for e in entries(second)]


def test_folds_are_spared_where_a_trial_is_hopeless(tmp_path: Path) -> None:
    """Six folds; the second trial is worse in each, which Wilcoxon's test sees early."""
    plan = plan_of(
        tmp_path, "space={x:[1.0]}", "n_trials=1", "folds=[0,1,2,3,4,5,6]", "pruner=wilcoxon"
    )
    assert work(plan) == DONE
    worse = plan_of(
        tmp_path, "space={x:[1.0]}", "n_trials=2", "folds=[0,1,2,3,4,5,6]", "pruner=wilcoxon"
    )
    book = Ledger(worse)
    book.fill()
    (tmp_path / "study" / ".state").mkdir(exist_ok=True)
    (tmp_path / "study" / "offset").write_text("-3")
    assert Worker(worse, Slot(0), frozenset()).run() == DONE
    best, hopeless = entries(worse)
    assert best.state == "done"
    assert len(best.trial.intermediate_values) == 7
    assert hopeless.state == "pruned"
    assert 2 <= len(hopeless.trial.intermediate_values) < 7


def test_a_trial_that_is_killed_is_a_failure_and_not_tried_again(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, 'grid=[["die=true"],["x=1"]]')
    assert work(plan) == DONE
    killed, other = entries(plan)
    assert killed.state == "failed"
    assert "killed by signal 9 (out of memory?)" in killed.error
    assert killed.kills == 0
    assert other.state == "done"


def test_a_dead_host_s_trial_is_taken_over_after_the_grace_period(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(tmp_path, "grid={x:[0.5]}", "grace=0.5")
    Ledger(plan, create=True).fill()
    worker = Worker(plan, Slot(0), frozenset())
    worker.owner["place"] = "elsewhere"
    monkeypatch.setattr(worker.ledger, "tell", die)
    with pytest.raises(SystemExit):
        worker.run()
    started = time.monotonic()
    assert work(plan) == DONE
    assert time.monotonic() - started > 0.5
    (entry,) = entries(plan)
    assert entry.state == "done"
    assert entry.kills == 1


def die(*_: object) -> None:
    raise SystemExit


def test_what_was_computed_is_not_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that dies between a trial's end and telling it leaves the outcome behind."""
    plan = plan_of(tmp_path, "grid={x:[0.5]}")
    Ledger(plan, create=True).fill()
    worker = Worker(plan, Slot(0), frozenset())
    worker.owner["pid"] = 2**22 + 1  # nobody's
    monkeypatch.setattr(worker.ledger, "tell", die)
    with pytest.raises(SystemExit):
        worker.run()
    assert work(plan) == DONE
    assert len(runs(tmp_path / "study")) == 2  # start and end, once
    (entry,) = entries(plan)
    assert entry.trial.values == [0.5]
    assert entry.kills == 1


def test_another_study_s_runs_are_not_taken_for_its_own(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "grid={x:[0.5]}")
    assert work(plan) == DONE
    (tmp_path / "study.log").unlink()
    with pytest.raises(ConfigError, match="its folder holds trials"):
        work(plan)


def test_a_trial_that_leaves_no_score_fails_and_says_so(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "grid={x:[nan]}")
    assert work(plan) == DONE
    (entry,) = entries(plan)
    assert entry.state == "done"  # the first epoch's 0.1 is left
    assert entry.trial.values == [0.1]
    other = plan_of(tmp_path, "name=other", "grid={x:[1]}", "+objectives.peak_memory_mb=minimize")
    assert work(other) == DONE
    (entry,) = entries(other)
    assert entry.state == "failed"
    assert "no peak_memory_mb" in entry.error


def test_trials_are_runs_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_NTASKS", "RANK", "MASTER_PORT"):
        monkeypatch.setenv(name, "4")
    plan = plan_of(tmp_path, "grid={x:[1,2]}", "+local.tracking=none")
    assert work(plan) == DONE
    folders = sorted((tmp_path / "study").glob("trial-????"))
    seen = [
        dict(line.partition("=")[::2] for line in (f / "environment").read_text().splitlines())
        for f in folders
    ]
    for variables in seen:
        assert not {"SLURM_NTASKS", "RANK", "MASTER_PORT"} & set(variables)
        assert variables["WANDB_RUN_GROUP"] == "study"
        assert variables["WANDB_RESUME"] == "allow"
        assert "LIGHTNING_BRATS_TRIAL" not in variables
    assert seen[0]["WANDB_RUN_ID"] != seen[1]["WANDB_RUN_ID"]
    assert "tracking=none" in (folders[0].with_name("trial-0000.log")).read_text()
    assert all("tracking=none" not in cell for cell in plan.cells)
