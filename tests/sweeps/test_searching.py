"""Samplers that are made anew for each trial find their way all the same."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from sweep_parts import plan_of

from lightning_brats.errors import ConfigError
from lightning_brats.sweeps.ledger import Ledger
from lightning_brats.sweeps.overrides import key_of, value_of

SPACE = "space={x:{low:-1.0,high:1.0},y:{low:-1.0,high:1.0}}"


def search(folder: Path, *overrides: str) -> list[list[float]]:
    """Values of a study of trials that score -(x - 0.6)² - (y + 0.2)², and cost |x|."""
    book = Ledger(plan_of(folder, *overrides), create=True)
    book.fill()
    space = book.plan.space
    assert space
    while claimed := book.claim(book.entries(), {}):
        _, trial = claimed
        chosen = {key_of(text): value_of(text) for text in space.sample(trial)}
        x, y = chosen["x"], chosen["y"]
        values = [-((x - 0.6) ** 2) - (y + 0.2) ** 2, abs(x)]
        book.tell(trial, values[: len(book.plan.objectives)])
    return [entry.trial.values for entry in book.entries()]


@pytest.mark.parametrize("sampler", ["tpe", pytest.param("gp", marks=pytest.mark.slow), "cmaes"])
def test_later_trials_are_better_than_random_ones(tmp_path: Path, sampler: str) -> None:
    if sampler == "cmaes" and importlib.util.find_spec("cmaes") is None:
        pytest.skip("cmaes is an extra")
    number = 24 if sampler == "gp" else 50
    options = (SPACE, f"sampler={sampler}", f"n_trials={number}")
    scores = np.array(search(tmp_path, *options))[:, 0]
    drawn = np.array(search(tmp_path / "drawn", SPACE, "sampler=random", "n_trials=50"))[:, 0]
    assert np.median(scores[-8:]) > np.quantile(drawn, 0.8)


@pytest.mark.parametrize("sampler", ["nsga2", "nsga3"])
def test_generations_go_on_from_trial_to_trial(tmp_path: Path, sampler: str) -> None:
    options = (SPACE, f"sampler={sampler}", "sampler.population_size=8", "n_trials=48")
    values = np.array(search(tmp_path, *options, "+objectives.train_seconds=minimize"))
    assert values[-16:, 0].mean() > values[:16, 0].mean()


def test_a_grid_tries_every_combination_once(tmp_path: Path) -> None:
    space = "space={y:[0.5,-0.2],x:{low:0.0,high:0.2,step:0.1}}"
    values = search(tmp_path, space, "sampler=grid", "first=[{x:0.2,y:0.5}]")
    wanted = [(0.2, 0.5)] + [(x, y) for y in (0.5, -0.2) for x in (0.0, 0.1, 0.2)]
    del wanted[3]  # the one that came first
    assert [v[0] for v in values] == pytest.approx(
        [-((x - 0.6) ** 2) - (y + 0.2) ** 2 for x, y in wanted]
    )


def test_a_grid_follows_conditions(tmp_path: Path) -> None:
    space = "space={a:[u,v],b:{choices:[1,2],when:{a:v}}}"
    plan = plan_of(tmp_path, space, "sampler=grid")
    assert plan.first == [{"a": "u"}, {"a": "v", "b": 1}, {"a": "v", "b": 2}]
    assert plan.settings["n_trials"] == 3


def test_a_grid_of_a_range_without_steps_has_no_end(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sampler=grid needs the values"):
        plan_of(tmp_path, SPACE, "sampler=grid")
