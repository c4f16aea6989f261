"""Fronts of quality against cost, and who wins in which group of patients."""

import numpy as np
import pandas as pd
import pytest
from simulated import aligned_of, entries_of, entry, quick

from lightning_brats.comparison.alignment import align
from lightning_brats.comparison.cost import cost_table, front
from lightning_brats.comparison.subgroups import find_subgroups, patient_groups


def test_a_front_by_hand() -> None:
    costs = np.array([1.0, 2.0, 3.0, 2.0, np.nan])
    quality = np.array([0.7, 0.8, 0.8, 0.9, 1.0])
    # The second is beaten at its price, the third is dearer and no better, the last has no price.
    assert front(costs, quality).tolist() == [True, False, False, True, False]
    assert front(np.array([1.0, 1.0]), np.array([0.5, 0.5])).tolist() == [True, True]


def test_costs_are_means_over_runs() -> None:
    entries = [
        entry("a0", "a", 0, {("WT", "hd95"): [2.0, 4.0]}, cost={"train_seconds": 10.0}),
        entry("a1", "a", 1, {("WT", "hd95"): [2.0, 4.0]}, cost={"train_seconds": 20.0}),
        entry("b0", "b", 0, {("WT", "hd95"): [5.0, 7.0]}, cost={"train_seconds": 30.0}),
    ]
    settings = quick(metrics=("hd95",))
    table = cost_table(align(entries, settings), settings).set_index("choice")
    assert table["train_seconds"].tolist() == [15, 30]
    assert table["least_train_seconds"].tolist() == [10, 30]
    assert table["most_train_seconds"].tolist() == [20, 30]
    assert table["score"].tolist() == [3, 6]
    assert table["pareto_train_seconds"].tolist() == [True, False]  # fewer mm are better
    assert table["parameters"].isna().all()
    assert not table["pareto_parameters"].any()


def known(count: int) -> pd.DataFrame:
    cases = [f"c{number:02d}" for number in range(count)]
    return pd.DataFrame(
        {
            "case": cases,
            "volume_WT_ml": np.arange(1.0, count + 1),
            "cohort": ["A"] * (count // 3) + ["B"] * (count - count // 3),
            "grade": [None] * count,
            "lesions": [1, 2, 3] * (count // 3),
        }
    )


def test_groups_of_patients() -> None:
    values = {"a": np.full((18, 1), 0.8), "b": np.full((18, 1), 0.7)}
    groups = patient_groups(align(entries_of(values, cases=known(18)), quick()))
    assert set(groups) == {"size", "cohort", "lesions"}
    sizes = list(groups["size"].values())
    assert [name.split()[0] for name in dict.fromkeys(sizes)] == ["small", "medium", "large"]
    assert [sizes.count(name) for name in dict.fromkeys(sizes)] == [6, 6, 6]
    assert list(groups["cohort"].values()).count("A") == 6
    assert list(dict.fromkeys(groups["lesions"].values())) == ["none or 1", "2 or 3"]
    assert patient_groups(aligned_of(values)) == {}


def test_who_wins_where() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(0.8, 0.05, (30, 1))
    gain = np.where(np.arange(30)[:, None] < 10, 0.1, -0.1) + rng.normal(0, 0.01, (30, 2))
    values = {
        "a": base + gain,
        "b": base + rng.normal(0, 0.01, (30, 2)),
        "c": base - 0.3 + 0 * gain,
    }
    aligned = align(entries_of(values, cases=known(30)), quick())
    table = find_subgroups(aligned, quick()).query("group == 'size' and best")
    assert table["choice"].tolist() == ["a", "b", "b"]
    assert table["n"].tolist() == [10, 10, 10]
    assert (table["p_holm"] < 0.05).all()
    means = find_subgroups(aligned, quick()).query("group == 'cohort' and choice == 'a'")
    assert means["mean"].tolist()[0] == pytest.approx(values["a"][:10].mean())


def test_small_groups_are_shown_but_not_tested() -> None:
    rng = np.random.default_rng(0)
    values = {"a": rng.uniform(0.8, 0.9, (9, 1)), "b": rng.uniform(0.1, 0.2, (9, 1))}
    table = find_subgroups(align(entries_of(values, cases=known(9)), quick()), quick())
    sizes = table.query("group == 'size'")
    assert sizes["n"].eq(3).all()
    assert sizes["p_holm"].isna().all()
    assert sizes.query("best")["choice"].eq("a").all()


def test_groups_make_no_false_alarms() -> None:
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(25):
        base = rng.normal(0.8, 0.05, (30, 1))
        values = {name: base + rng.normal(0, 0.03, (30, 1)) for name in "abc"}
        table = find_subgroups(align(entries_of(values, cases=known(30)), quick()), quick())
        alarms += bool((table["p_holm"] < 0.05).any())
    assert alarms / 25 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 25)
