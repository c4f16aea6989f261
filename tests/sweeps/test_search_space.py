"""Samples stay within bounds, and conditions hold."""

from typing import Any

import optuna
import pytest

from lightning_brats.errors import ConfigError
from lightning_brats.sweeps.overrides import key_of, value_of
from lightning_brats.sweeps.space import Space


def samples(space: Space, number: int = 60) -> list[dict[str, Any]]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found = []
    for _ in range(number):
        overrides = space.sample(study.ask())
        found.append({key_of(text): value_of(text) for text in overrides})
    return found


def test_every_kind_of_choice_stays_within_its_bounds() -> None:
    space = Space(
        {
            "model": ["unet", "vnet"],
            "optimizer.lr": {"low": 1e-4, "high": 1e-1, "log": True},
            "queue.batch_size": {"low": 2, "high": 8, "step": 2},
            "model.dropout": {"low": 0, "high": 1, "step": 0.25, "type": "float"},
            "queue.patch_size": [[16, 16, 16], [32, 32, 16]],
            "trainer.ema": {"choices": [None, 0.9]},
        }
    )
    found = samples(space)
    assert {s["model"] for s in found} == {"unet", "vnet"}
    rates = sorted(s["optimizer.lr"] for s in found)
    assert rates[0] >= 1e-4
    assert rates[-1] <= 1e-1
    assert 1e-3 < rates[len(rates) // 2] < 1e-2  # the median of a log-uniform draw is near 3e-3
    assert {s["queue.batch_size"] for s in found} == {2, 4, 6, 8}
    assert {s["model.dropout"] for s in found} == {0.0, 0.25, 0.5, 0.75, 1.0}
    assert {tuple(s["queue.patch_size"]) for s in found} == {(16, 16, 16), (32, 32, 16)}
    assert {s["trainer.ema"] for s in found} == {None, 0.9}


def test_a_conditional_choice_is_made_under_its_condition_alone() -> None:
    space = Space(
        {
            "optimizer": ["sgd", "adamw"],
            "optimizer.momentum": {"low": 0.5, "high": 0.9, "when": {"optimizer": "sgd"}},
            "optimizer.lr": [
                {"low": 1e-5, "high": 1e-4, "when": {"optimizer": "adamw"}},
                {"low": 1e-2, "high": 1e-1, "when": {"optimizer": ["sgd"]}},
            ],
        }
    )
    for sample in samples(space):
        sgd = sample["optimizer"] == "sgd"
        assert ("optimizer.momentum" in sample) == sgd
        assert (sample["optimizer.lr"] >= 1e-2) == sgd


def test_a_condition_can_name_what_is_fixed() -> None:
    entry = {"model.dropout": {"low": 0.0, "high": 0.5, "when": {"model": "unet"}}}
    assert all("model.dropout" in s for s in samples(Space(entry, ["model=unet"]), 3))
    assert all("model.dropout" not in s for s in samples(Space(entry, ["model=vnet"]), 3))


@pytest.mark.parametrize(
    "entry",
    [
        {"lr": {"low": 1, "high": 0}},
        {"lr": {"low": 0, "high": 1.0, "log": True}},
        {"lr": {"low": 0}},
        {"lr": []},
        {"lr": {"low": 0, "high": 1, "lgo": True}},
        {"lr": {"low": 0, "high": 1, "when": {"model": "unet"}}},
    ],
)
def test_what_is_no_choice_is_refused_by_name(entry: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"space\.lr"):
        Space(entry)


SMALL = {
    "optimizer": ["sgd", "adamw"],
    "optimizer.lr": [
        {"low": 1e-5, "high": 1e-4, "when": {"optimizer": "adamw"}},
        {"low": 1e-2, "high": 1e-1, "when": {"optimizer": "sgd"}},
    ],
    "queue.patch_size": [[16, 16, 16], [32, 32, 32]],
}


def test_a_point_names_the_parameters_of_its_branch() -> None:
    given = {"optimizer": "sgd", "optimizer.lr": 0.05, "queue.patch_size": [32, 32, 32]}
    assert Space(SMALL).point(given) == {
        "optimizer": "sgd",
        "optimizer.lr[optimizer=sgd]": 0.05,
        "queue.patch_size": "[32, 32, 32]",
    }


@pytest.mark.parametrize(
    "given",
    [
        {"optimizer": "adam"},
        {"optimizer": "sgd", "optimizer.lr": 1e-5},
        {"optimizer.lr": 0.05},
        {"seed": 1},
    ],
)
def test_a_point_outside_the_space_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="first"):
        Space(SMALL).point(given)


def test_a_trial_that_goes_on_keeps_its_choices() -> None:
    space = Space({"x": {"low": 0.0, "high": 1.0}, "y": ["a", "b", "c", "d"]})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    trial = study.ask()
    first = space.sample(trial)
    again = optuna.Trial(study, trial._trial_id)
    study.sampler = optuna.samplers.RandomSampler(seed=99)
    assert space.sample(again) == first
