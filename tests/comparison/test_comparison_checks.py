"""What is refused, and what is said."""

from typing import Any

import pytest
from simulated import entry, quick

from lightning_brats.comparison import compare
from lightning_brats.comparison.checks import PHANTOM, check_entries
from lightning_brats.comparison.entry import Entry
from lightning_brats.comparison.settings import Settings
from lightning_brats.errors import ConfigError

VALUES = [0.5, 0.6, 0.7, 0.8]
FACTS: dict[str, Any] = {"protocol": "legacy", "data_fingerprint": "f"}


def two(seeds: int = 2, count: int = 4, **other: Any) -> list[Entry]:
    """Two choices, of which the second has what is named."""
    first = [entry(f"a{s}", "a", s, {("WT", "dice"): VALUES}) for s in range(seeds)]
    own = {("WT", "dice"): VALUES[:count]}
    return first + [entry(f"b{s}", "b", s, own, **other) for s in range(seeds)]


def test_what_matches_passes_without_a_word() -> None:
    assert check_entries(two(), quick()) == []


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"facts": FACTS | {"protocol": "brats2024-gli"}}, "protocol of scoring differs"),
        ({"facts": FACTS | {"data_fingerprint": "g"}}, "data set"),
        ({"train_cases": frozenset({"t0", "c02"})}, "trained on test cases: 1 of 4 patients"),
        ({"count": 3}, "test cases differ"),
        ({"facts": FACTS | {"budget": {"epochs": 9, "steps": 99}}}, "training budgets differ"),
    ],
)
def test_what_does_not_match_is_refused_or_said(other: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told) as refused:
        check_entries(two(**other), quick())
    assert "on_mismatch=warn" in str(refused.value)
    assert any(told in line for line in check_entries(two(**other), quick(on_mismatch="warn")))


def test_a_patient_of_a_test_case_that_was_trained_on_is_a_leak() -> None:
    patients = {"c00": "p", "other": "p"}
    leaking = two(patients=patients, train_cases=frozenset({"other"}))
    with pytest.raises(ConfigError, match="trained on test cases"):
        check_entries(leaking, quick())


def test_coding_and_phantoms_are_not_mixed() -> None:
    for key, first, second in (("labels", "brats2018", "brats2023"), ("phantom", True, False)):
        entries = [
            entry(name, name, 0, {("WT", "dice"): VALUES}, facts={key: value})
            for name, value in (("a", first), ("b", second))
        ]
        with pytest.raises(ConfigError, match=r"coding|phantom"):
            check_entries(entries, quick())


@pytest.mark.parametrize(
    "budget",
    [
        {"epochs": 3, "steps": 8, "train_seconds": 100.0},
        {"epochs": 2, "steps": 9, "train_seconds": 500.0},
        {"epochs": 3, "steps": 9, "train_seconds": 104.0},
    ],
)
def test_budgets_are_equal_in_epochs_steps_or_time(budget: dict[str, float]) -> None:
    known = FACTS | {"budget": {"epochs": 2, "steps": 8, "train_seconds": 100.0}}
    entries = [
        entry(name, name, s, {("WT", "dice"): VALUES}, facts=facts)
        for name, facts in (("a", known), ("b", FACTS | {"budget": budget}))
        for s in (0, 1)
    ]
    assert check_entries(entries, quick()) == []


def test_common_cases_are_compared_where_that_is_allowed() -> None:
    entries = two(count=3)
    warnings = check_entries(entries, quick(common_cases=True))
    assert any("on the 3 cases that all have" in line for line in warnings)
    found = compare(entries, quick(common_cases=True))
    assert found.pairs["n"].item() == 3
    none = [entry("a", "a", 0, {("WT", "dice"): VALUES}), *two(test_cases=("x",))]
    with pytest.raises(ConfigError, match="no case was scored in every entry"):
        check_entries(none, quick(common_cases=True, on_mismatch="warn"))


def test_a_phantom_is_always_told() -> None:
    facts = FACTS | {"phantom": True}
    entries = [
        entry(f"{name}{s}", name, s, {("WT", "dice"): VALUES}, facts=facts)
        for name in "ab"
        for s in (0, 1)
    ]
    assert PHANTOM in check_entries(entries, quick())
    theirs = entry("nn", "nn", 0, {("WT", "dice"): VALUES}, facts={"protocol": "legacy"})
    assert PHANTOM in check_entries([*entries, theirs], quick())


def test_a_single_training_and_unknown_origins_are_told() -> None:
    entries = [
        *two(seeds=1),
        entry("nn", "nn", None, {("WT", "dice"): VALUES}, train_cases=frozenset(), facts={}),
    ]
    told = " ".join(check_entries(entries, quick()))
    assert "Trained once: a, b, nn" in told
    assert "Not known, so not checked, of nn" in told
    assert "protocol of scoring of nn is not recorded" in told


def test_the_same_run_twice_is_no_second_seed() -> None:
    entries = [*two(), entry("again", "b", 1, {("WT", "dice"): VALUES})]
    with pytest.raises(ConfigError, match="2 runs of b have seed 1"):
        check_entries(entries, quick())


def test_one_choice_is_nothing_to_compare() -> None:
    with pytest.raises(ConfigError, match="all runs are one choice, 'a'"):
        compare(two()[:2], quick())


def test_a_region_or_metric_that_was_not_scored_is_named() -> None:
    with pytest.raises(ConfigError, match="no scores of ET"):
        compare(two(), quick(regions=("ET",)))
    with pytest.raises(ConfigError, match="no hd95 of WT"):
        compare(two(), quick(metrics=("hd95",)))
    with pytest.raises(ConfigError, match="baseline 'c' is no choice"):
        compare(two(), quick(baseline="c"))


@pytest.mark.parametrize(
    "chosen",
    [
        {"metrics": ("volume_error",)},
        {"metrics": ("beauty",)},
        {"metrics": ()},
        {"on_mismatch": "ignore"},
        {"resamples": 10},
        {"alpha": 0.0},
    ],
)
def test_settings_that_cannot_be(chosen: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Settings(**chosen)
