import pytest

from lightning_brats.errors import ConfigError
from lightning_brats.sweeps.budget import ENDLESS, Budget


def budget(unit: str | None, amount: float | None) -> Budget:
    return Budget({"unit": unit, "amount": amount})


def test_no_budget_leaves_the_trainer_alone() -> None:
    assert budget(None, None).overrides(["trainer.max_epochs=3"]) == []


def test_epochs_and_steps() -> None:
    assert budget("epochs", 12).overrides([]) == ["trainer.max_epochs=12"]
    steps = budget("steps", 500).overrides([])
    assert steps == [f"trainer.max_epochs={ENDLESS}", "trainer.max_steps=500"]


def test_a_larger_batch_takes_fewer_steps_for_the_same_samples() -> None:
    samples = budget("samples", 1000)
    small = samples.overrides(["queue.batch_size=2"])
    large = samples.overrides(["queue.batch_size=16", "trainer.devices=2"])
    gathered = samples.overrides(["queue.batch_size=2", "trainer.accumulate_grad_batches=4"])
    assert small[-1] == "trainer.max_steps=500"
    assert large[-1] == "trainer.max_steps=32"  # 1000 / 32, rounded up
    assert gathered[-1] == "trainer.max_steps=125"


def test_samples_need_a_known_batch() -> None:
    with pytest.raises(ConfigError, match="batch_size"):
        budget("samples", 100).overrides([])
    with pytest.raises(ConfigError, match="batch_size"):
        budget("samples", 100).overrides(["queue.batch_size=auto"])


def test_wall_clock_has_no_schedule_over_steps() -> None:
    time = budget("minutes", 1500.5).overrides([])
    assert '+trainer.max_time="01:01:00:30"' in time  # 25 h 0 min 30 s
    assert "scheduler=constant" in time
    assert "scheduler=constant" not in budget("minutes", 5).overrides(["scheduler=plateau"])


@pytest.mark.parametrize(("unit", "amount"), [("hours", 1), ("steps", 0), ("steps", None)])
def test_what_is_no_budget_is_refused(unit: str, amount: float | None) -> None:
    with pytest.raises(ConfigError, match="budget"):
        budget(unit, amount)


def test_two_limits_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"trainer\.max_epochs"):
        budget("minutes", 5).overrides(["trainer.max_epochs=3"])
