"""Paired tests against scipy, by hand, and by simulation."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from simulated import Truth, aligned_of, entry, quick

from lightning_brats.comparison.alignment import align
from lightning_brats.comparison.paired import (
    better,
    compare_pairs,
    holm,
    joint_p,
    sign_flip,
    wilcoxon,
)
from lightning_brats.comparison.uncertainty import Pool


def rejections(truth: Truth, effects: tuple[float, ...], seeds: int, repeats: int) -> float:
    """Share of comparisons in which any difference is claimed."""
    rng = np.random.default_rng(11)
    claimed = 0
    for _ in range(repeats):
        p_values = []
        for _cell in range(2):
            drawn = truth.draw(rng, effects, 25, seeds)
            pairs = [(a, b) for a in range(len(drawn)) for b in range(a)]
            pool = Pool.of(drawn)
            p_values += [joint_p(drawn[a], drawn[b], pool)[2] for a, b in pairs]
        claimed += bool((holm(np.array(p_values)) < 0.05).any())
    return claimed / repeats


@pytest.mark.parametrize(("seed_effect", "seeds"), [(0.0, 1), (0.0, 3), (0.02, 3)])
def test_false_alarms_of_a_whole_family(seed_effect: float, seeds: int) -> None:
    found = rejections(Truth(seed=seed_effect), (0.0, 0.0, 0.0), seeds, 120)
    assert found <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 120)


@pytest.mark.slow
@pytest.mark.parametrize("seed_effect", [0.0, 0.02, 0.05, (0.05, 0.005, 0.005, 0.005)])
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_false_alarms_at_length(seed_effect: float | tuple[float, ...], seeds: int) -> None:
    found = rejections(Truth(seed=seed_effect), (0.0,) * 4, seeds, 1000)
    assert found <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 1000)


@pytest.mark.parametrize("seeds", [2, 3])
def test_false_alarms_with_one_unstable_choice(seeds: int) -> None:
    found = rejections(Truth(seed=(0.05, 0.005, 0.005, 0.005)), (0.0,) * 4, seeds, 60)
    assert found <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 60)


def test_seed_luck_alone_would_fool_the_signed_rank_test() -> None:
    rng = np.random.default_rng(5)
    truth = Truth(seed=0.03)
    drawn = [truth.draw(rng, (0.0, 0.0), 40, 2) for _ in range(150)]
    found = [joint_p(*values, Pool.of(values)) for values in drawn]
    ranked, _, decided = np.array(found).T
    assert (ranked < 0.05).mean() > 0.2
    assert (decided < 0.05).mean() < 0.1


def test_power_rises_with_the_effect() -> None:
    found = [rejections(Truth(), (effect, 0.0), 3, 60) for effect in (0.0, 0.02, 0.04, 0.08)]
    assert found[0] < 0.1
    assert found[1] < found[2] < found[3]
    assert found[3] > 0.95


def test_signed_ranks_are_scipys() -> None:
    rng = np.random.default_rng(0)
    differences = rng.normal(0.1, 1, 17)
    assert wilcoxon(differences) == stats.wilcoxon(differences).pvalue
    assert wilcoxon(np.zeros(5)) == 1
    assert np.isnan(wilcoxon(np.array([0.3])))


def test_sign_flips_are_scipys() -> None:
    rng = np.random.default_rng(0)
    differences = rng.normal(0.3, 1, (9, 2))
    found = sign_flip(differences, 100, rng)
    for column in (0, 1):
        reference = stats.permutation_test(
            (differences[:, column],),
            np.mean,
            permutation_type="samples",
            n_resamples=np.inf,
        )
        assert found[column] == pytest.approx(reference.pvalue)


def test_sign_flips_by_hand() -> None:
    # Of the eight sums ±1 ±2 ±3 two are as large as 6, and four as large as 4.
    values = np.array([[1.0, -1.0], [2.0, 2.0], [3.0, 3.0]])
    found = sign_flip(values, 100, np.random.default_rng(0))
    sums = [abs(a + 2 * b + 3 * c) for a, b, c in product((1, -1), repeat=3)]
    assert found == pytest.approx([sum(s >= 6 for s in sums) / 8, sum(s >= 4 for s in sums) / 8])


def test_many_patients_are_flipped_at_random() -> None:
    rng = np.random.default_rng(0)
    differences = rng.normal(0.25, 1, (60, 1))
    found = sign_flip(differences, 20000, rng)[0]
    assert found == pytest.approx(stats.ttest_1samp(differences[:, 0], 0).pvalue, abs=0.01)
    assert sign_flip(np.ones((60, 1)), 1000, rng)[0] == pytest.approx(1 / 1001)


def test_holm_by_hand() -> None:
    # Sorted 0.01, 0.02, 0.04, times 3, 2, 1; the last may not fall below the one before.
    found = holm(np.array([0.04, np.nan, 0.01, 0.02]))
    assert found[[0, 2, 3]] == pytest.approx([0.04, 0.03, 0.04])
    assert np.isnan(found[1])


def test_a_pair_by_hand() -> None:
    values = {
        "a": np.array([[0.9], [0.8], [0.7], [0.6]]),
        "b": np.array([[0.8], [0.8], [0.5], [0.7]]),
    }
    (row,) = compare_pairs(aligned_of(values), quick()).to_dict("records")
    differences = np.array([0.1, 0.0, 0.2, -0.1])
    assert (row["a"], row["b"], row["n"]) == ("a", "b", 4)
    assert row["difference"] == pytest.approx(0.05)
    assert row["advantage"] == pytest.approx(0.05)
    assert row["effect"] == pytest.approx(0.05 / differences.std(ddof=1))
    assert row["p_better"] == pytest.approx((2 + 0.5) / 4)
    assert row["low"] < 0 < row["high"]
    assert not row["significant"]


def test_lower_distances_are_an_advantage() -> None:
    rng = np.random.default_rng(0)
    near = rng.uniform(1, 3, (20, 2))
    table = compare_pairs(
        aligned_of({"near": near, "far": near + 5}, metric="hd95"), quick(metrics=("hd95",))
    )
    (row,) = table.to_dict("records")
    assert row["difference"] == pytest.approx(-5)
    assert row["advantage"] == pytest.approx(5)
    assert row["effect"] > 0
    assert row["p_better"] > 0.9
    assert row["high"] < 0


def test_ranks_and_mean_that_disagree_show_nothing() -> None:
    # Slightly better on all patients but one, which it loses altogether.
    a = np.full((40, 1), 0.81)
    a[0] = 0.0
    b = np.full((40, 1), 0.80)
    ranked, _, decided = joint_p(a, b, Pool.of([a, b]))
    assert ranked < 0.001
    assert decided == 1


def test_better_counts_every_pair_of_runs() -> None:
    a, b = np.array([[0.9, 0.5]]), np.array([[0.6, 0.5]])
    # 0.9 beats both, 0.5 loses to 0.6 and ties with 0.5.
    assert better(a, b, 1) == pytest.approx((2 + 0.5) / 4)
    assert better(a, b, -1) == pytest.approx((1 + 0.5) / 4)


def test_an_undefined_value_leaves_the_case_out_for_all_choices() -> None:
    columns = {"a": [0.9, np.nan, 0.7, 0.8], "b": [0.8, 0.1, 0.6, 0.9], "c": [0.5, 0.2, 0.4, 0.5]}
    entries = [entry(n, n, 0, {("ET", "instance_f1"): v}) for n, v in columns.items()]
    aligned = align(entries, quick(metrics=("instance_f1",)))
    table = compare_pairs(aligned, quick(metrics=("instance_f1",)))
    assert table["n"].tolist() == [3, 3, 3]
    (cell,) = aligned.cells
    assert (cell.left_out, cell.cases) == (1, 3)
    pair = table.query("a == 'b' and b == 'c'")["difference"]
    assert pair.item() == pytest.approx(np.mean([0.3, 0.2, 0.4]))


def test_an_infinite_distance_counts_as_the_penalty() -> None:
    columns = {"a": [1.0, np.inf, 2.0], "b": [1.0, 2.0, 2.0]}
    for protocol, penalty in (("legacy", 374), ("brats2024-gli", 337)):
        facts = {"protocol": protocol}
        entries = [entry(n, n, 0, {("ET", "hd95"): v}, facts=facts) for n, v in columns.items()]
        aligned = align(entries, quick(metrics=("hd95",)))
        assert aligned.cells[0].values[0][:, 0].tolist() == [1, penalty, 2]


def test_cases_of_a_patient_count_once() -> None:
    patients = {"c00": "p", "c01": "p", "c02": "q"}
    columns = {"a": [0.9, 0.7, 0.5], "b": [0.8, 0.8, 0.8]}
    entries = [entry(n, n, 0, {("WT", "dice"): v}, patients=patients) for n, v in columns.items()]
    (cell,) = align(entries, quick()).cells
    assert cell.patients == ("p", "q")
    assert cell.values[0][:, 0] == pytest.approx([0.8, 0.5])
    table: pd.DataFrame = compare_pairs(align(entries, quick()), quick())
    assert table["n"].item() == 2


def test_with_a_baseline_only_differences_from_it_are_a_family() -> None:
    truth, rng = Truth(seed=0.0), np.random.default_rng(3)
    drawn = truth.draw(rng, (0.0, 0.01, 0.02, 0.03), 25, 2)
    entries = [
        entry(f"{name}{seed}", name, seed, {("WT", "dice"): values[:, seed]})
        for name, values in zip("abcd", drawn, strict=True)
        for seed in (0, 1)
    ]
    settings = quick(baseline="b")
    every = compare_pairs(align(entries, quick()), quick())
    asked = compare_pairs(align(entries, settings), settings)
    own = (every[["a", "b"]] == "b").any(axis=1)
    assert list(asked["p_holm"].notna()) == list(own)
    assert own.sum() == 3
    joint = every.loc[own, ["p_wilcoxon", "p_seeds"]].max(axis=1).to_numpy()
    assert asked.loc[own, "p_holm"].to_numpy() == pytest.approx(holm(joint))
    assert not asked.loc[~own, "significant"].any()
