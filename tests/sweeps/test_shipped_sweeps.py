"""Every sweep, sampler and pruner that is shipped composes and can begin."""

import importlib.util
from pathlib import Path

import optuna
import pytest
from hydra import compose, initialize_config_module
from sweep_parts import settings

import lightning_brats.sweeps
from lightning_brats.errors import ConfigError
from lightning_brats.sweeps.command import check_cells
from lightning_brats.sweeps.plan import Plan

CONFIGS = Path(lightning_brats.sweeps.__file__).parent / "configs"
SWEEPS = sorted(path.stem for path in (CONFIGS / "sweep").glob("*.yaml"))
SAMPLERS = sorted(path.stem for path in (CONFIGS / "sampler").glob("*.yaml"))
SAMPLERS.remove("grid")  # not for spaces without end: tests/sweeps/test_searching.py
PRUNERS = sorted(path.stem for path in (CONFIGS / "pruner").glob("*.yaml"))


def test_the_list_is_complete() -> None:
    wanted = {"architectures", "losses", "augmentations", "optimizers", "preprocessing"}
    assert wanted | {"attention_unet", "joint"} <= set(SWEEPS)


@pytest.mark.parametrize("name", SWEEPS)
def test_what_it_would_run_composes(name: str) -> None:
    plan = Plan(settings(f"sweep={name}"))
    if plan.space is None:
        jobs = plan.cells
        assert len({tuple(job) for job in jobs}) == len(jobs)
        jobs = jobs[: len(jobs) // len(plan.repeats)]
    else:
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        jobs = [job for _ in range(5) for job in plan.jobs(plan.space.sample(study.ask()))]
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        composed = [compose("run", job) for job in jobs]
    if plan.budget.unit == "minutes":
        assert all(plan.budget.amount * 60 == seconds(cfg.trainer.max_time) for cfg in composed)
        return
    assert plan.budget.unit == "epochs"
    assert all(cfg.trainer.max_epochs == plan.budget.amount for cfg in composed)
    if name == "losses":
        assert len({cfg.loss._target_ for cfg in composed}) == len(composed)


def seconds(duration: str) -> int:
    """Of Lightning's days:hours:minutes:seconds."""
    parts = map(int, duration.split(":"))
    return sum(part * unit for part, unit in zip(parts, (86400, 3600, 60, 1), strict=True))


@pytest.mark.parametrize("name", SWEEPS)
def test_its_first_line_says_what_it_is(name: str) -> None:
    lines = (CONFIGS / "sweep" / f"{name}.yaml").read_text().splitlines()
    assert lines[0] == "# @package _global_"
    assert lines[1].startswith("# ")


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_has_a_seed_of_each_trial(name: str) -> None:
    plan = Plan(settings("sweep=attention_unet", f"sampler={name}"))
    if name == "cmaes" and importlib.util.find_spec("cmaes") is None:
        with pytest.raises(ConfigError, match="cmaes"):
            plan.sampler(3)
    else:
        assert isinstance(plan.sampler(3), optuna.samplers.BaseSampler)


@pytest.mark.parametrize("name", PRUNERS)
def test_pruners(name: str) -> None:
    plan = Plan(settings("sweep=attention_unet", f"pruner={name}"))
    assert (plan.pruner() is None) == (name == "none")


def test_a_misspelt_name_shows_before_anything_runs() -> None:
    with pytest.raises(ConfigError, match=r"model=unett .*does not compose[\s\S]*unett"):
        check_cells(Plan(settings("sweep=losses", "+set.model=unett")))


def test_a_search_does_not_see_the_test_cases() -> None:
    with pytest.raises(ConfigError, match="must not choose"):
        Plan(settings("sweep=losses", "+objectives.dice_mean=maximize"))


def test_several_objectives_cannot_be_pruned() -> None:
    with pytest.raises(ConfigError, match="pruned"):
        Plan(settings("sweep=attention_unet", "+objectives.train_seconds=minimize"))


def test_seeds_and_folds_multiply() -> None:
    plan = Plan(settings("sweep=losses", "seeds=[0,1]", "folds=[0,1,2]"))
    losses = 11
    assert len(plan.cells) == losses * 2 * 3
    assert {text for cell in plan.cells for text in cell if text.startswith("fold")} == {
        "fold=0",
        "fold=1",
        "fold=2",
    }


def test_the_user_s_overrides_come_last() -> None:
    plan = Plan(settings("sweep=losses", "+set.model=fcnn", "+set.data.phantom.cases=4"))
    assert all(
        {"model=fcnn", "data.phantom.cases=4"} <= set(cell) and "model=unet" not in cell
        for cell in plan.cells
    )


def test_a_grid_and_a_space_at_once_are_refused() -> None:
    with pytest.raises(ConfigError, match="not both"):
        Plan(settings("sweep=losses", "+space.seed=[0,1]"))
