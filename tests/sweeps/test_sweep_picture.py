"""The table of a study."""

from pathlib import Path

from optuna.trial import TrialState, create_trial
from rich.console import Console
from sweep_parts import plan_of

from lightning_brats.sweeps.entries import Entry
from lightning_brats.sweeps.printing import picture


def entry(number: int, state: TrialState, value: float | None = None, kills: int = 0) -> Entry:
    overrides = ["model=unet", f"seed={number}"]
    trial = create_trial(state=state, value=value, user_attrs={"overrides": overrides})
    return Entry(number, trial, kills, retries=2)


FOUND = [
    entry(0, TrialState.COMPLETE, 0.5),
    entry(1, TrialState.FAIL),
    entry(2, TrialState.COMPLETE, 0.75, kills=1),
    entry(3, TrialState.PRUNED, 0.2),
    entry(4, TrialState.WAITING),
    entry(5, TrialState.RUNNING),
]


def drawn(folder: Path, rows: int | None = None) -> str:
    console = Console(width=120)
    with console.capture() as text:
        console.print(picture(plan_of(folder, "grid={seed:[0,1,2,3,4,5]}"), FOUND, rows))
    return text.get()


def test_it_counts_states_and_marks_the_best(tmp_path: Path) -> None:
    text = drawn(tmp_path)
    assert "study: 1 waiting, 1 running, 2 done, 1 pruned, 1 failed" in text
    assert "best: trial 2, 0.75" in text
    row = next(line for line in text.splitlines() if "2 *" in line)
    assert "done (try 2)" in row
    assert "seed=2" in row
    assert "model=unet" not in text  # all have it


def test_where_rows_are_few_what_happens_now_is_shown(tmp_path: Path) -> None:
    text = drawn(tmp_path, rows=3)
    assert "running" in text.split("choices")[1]
    assert "waiting" not in text.split("choices")[1]
    assert "and 3 more" in text
