"""The challenges' ranks by hand, Friedman's test from scipy, Nemenyi's from Demšar's table."""

import numpy as np
import pytest
from scipy import stats
from simulated import Truth, aligned_of, entry, quick

from lightning_brats.comparison.alignment import align
from lightning_brats.comparison.ranking import _groups, critical_difference, rank_choices


def test_ranks_by_hand() -> None:
    columns = {
        "a": {("WT", "dice"): [0.9, 0.8], ("WT", "hd95"): [1.0, 5.0]},
        "b": {("WT", "dice"): [0.8, 0.8], ("WT", "hd95"): [2.0, 4.0]},
        "c": {("WT", "dice"): [0.7, 0.1], ("WT", "hd95"): [2.0, 9.0]},
    }
    settings = quick(metrics=("dice", "hd95"))
    entries = [entry(name, name, 0, own) for name, own in columns.items()]
    table = rank_choices(align(entries, settings), settings).set_index("choice")
    # Dice: a 1, 1.5; b 2, 1.5; c 3, 3. HD95: a 1, 2; b 2.5, 1; c 2.5, 3.
    assert table.loc["a", "rank"] == pytest.approx((1 + 1.5 + 1 + 2) / 4)
    assert table.loc["b", "rank"] == pytest.approx((2 + 1.5 + 2.5 + 1) / 4)
    assert table.loc["c", "rank"] == pytest.approx((3 + 3 + 2.5 + 3) / 4)
    assert list(table.index) == ["a", "b", "c"]
    # Of the second against the first: 1.25 and −0.5 ranks on the two patients, and their flips.
    leads = np.array([(2 + 2.5 - 1 - 1) / 2, (1.5 + 1 - 1.5 - 2) / 2])
    sums = [abs(s * leads[0] + t * leads[1]) for s in (1, -1) for t in (1, -1)]
    expected = np.mean([value >= abs(leads.sum()) - 1e-9 for value in sums])
    assert table.loc["a", "p_next"] == pytest.approx(expected)
    assert np.isnan(table.loc["c", "p_next"])


def test_a_known_order_is_recovered() -> None:
    rng = np.random.default_rng(0)
    effects = (0.00, 0.06, 0.03, 0.12)
    values = Truth().draw(rng, effects, 60, 3)
    table = rank_choices(aligned_of(dict(zip("abcd", values, strict=True))), quick())
    assert table["choice"].tolist() == ["d", "b", "c", "a"]
    assert table["first_share"].iloc[0] > 0.95
    assert table["p_next"].iloc[0] < 0.05
    assert ((table["low"] <= table["rank"]) & (table["rank"] <= table["high"])).all()


def test_equal_choices_share_the_first_place() -> None:
    rng = np.random.default_rng(1)
    values = Truth(seed=0.0).draw(rng, (0.0, 0.0), 40, 1)
    same = {"a": values[0], "b": values[0].copy(), "c": values[1] - 0.5}
    table = rank_choices(aligned_of(same), quick()).set_index("choice")
    assert table.loc["a", "first_share"] == pytest.approx(0.5)
    assert table.loc["b", "first_share"] == pytest.approx(0.5)
    assert table.loc["a", "p_next"] == 1


def test_the_choice_of_runs_shakes_the_ranking() -> None:
    rng = np.random.default_rng(2)
    base = rng.normal(0.8, 0.1, (50, 1))
    steady = {"a": base + 0.01 + np.zeros((1, 3)), "b": base + np.zeros((1, 3))}
    shaky = {"a": base + 0.01 + np.array([[0.1, -0.05, -0.05]]), "b": steady["b"]}
    first = [
        rank_choices(aligned_of(values), quick(resamples=1000)).set_index("choice")["first_share"]
        for values in (steady, shaky)
    ]
    assert first[0]["a"] == 1
    assert 0.2 < first[1]["a"] < 0.9


def test_friedman_is_scipys_and_nemenyi_is_demsars() -> None:
    rng = np.random.default_rng(0)
    values = [own[:, 0] for own in Truth().draw(rng, (0.0, 0.02, 0.08, 0.09), 14, 1)]
    found = critical_difference(
        aligned_of(dict(zip("abcd", (v[:, None] for v in values), strict=True))), 0.05
    )
    reference = stats.friedmanchisquare(*values)
    assert found["statistic"] == pytest.approx(reference.statistic)
    assert found["p"] == pytest.approx(reference.pvalue)
    # Demšar (2006), table 5: q = 2.569 for four classifiers; his example has 14 data sets: 1.25.
    assert found["cd"] == pytest.approx(2.569 * np.sqrt(4 * 5 / (6 * 14)), abs=0.002)
    assert found["cd"] == pytest.approx(1.25, abs=0.01)
    assert found["n"] == 14
    ranks = stats.rankdata(-np.stack(values, 1), axis=1).mean(0)
    assert found["ranks"] == pytest.approx(dict(zip("abcd", ranks, strict=True)))
    assert list(found["ranks"].values()) == sorted(found["ranks"].values())


def test_groups_are_the_longest_stretches() -> None:
    ranks = np.array([1.0, 1.8, 2.6, 5.0])
    assert _groups("abcd", ranks, 1.0) == [["a", "b"], ["b", "c"]]
    assert _groups("abcd", ranks, 2.0) == [["a", "b", "c"]]
    assert _groups("abcd", ranks, 0.5) == []


def test_without_a_difference_all_are_one_group() -> None:
    rng = np.random.default_rng(4)
    values = Truth(choice_patient=0.05).draw(rng, (0.0, 0.0, 0.0), 10, 1)
    found = critical_difference(aligned_of(dict(zip("abc", values, strict=True))), 0.05)
    assert found["p"] > 0.05
    assert [sorted(group) for group in found["groups"]] == [["a", "b", "c"]]


def test_two_choices_have_a_critical_difference() -> None:
    rng = np.random.default_rng(4)
    values = Truth().draw(rng, (0.0, 0.2), 20, 1)
    found = critical_difference(aligned_of(dict(zip("ab", values, strict=True))), 0.05)
    assert found["cd"] == pytest.approx(1.960 / np.sqrt(20), abs=0.002)
    assert found["groups"] == []
    assert found["p"] is None
