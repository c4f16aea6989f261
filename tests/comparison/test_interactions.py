"""Interactions on a grid: against the t-test, in simulation, and which grids there are."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from simulated import entries_of, quick

from lightning_brats.comparison.alignment import Aligned, align
from lightning_brats.comparison.interactions import find_interactions, interaction


def grid(
    rng: np.random.Generator, patients: int, seeds: int, effect: float, luck: float, shape=(2, 2)
) -> list[list[np.ndarray]]:
    shared = rng.normal(0.8, 0.1, (patients, 1))
    return [
        [
            shared
            + 0.05 * i
            - 0.03 * j
            + effect * (i * j)
            + rng.normal(0, 0.03, (patients, 1))
            + rng.normal(0, luck, (1, seeds))
            + rng.normal(0, 0.02, (patients, seeds))
            for j in range(shape[1])
        ]
        for i in range(shape[0])
    ]


def test_two_by_two_is_the_t_test_of_the_contrast() -> None:
    cells = grid(np.random.default_rng(0), 18, 1, 0.02, 0.0)
    contrast = (cells[0][0] - cells[0][1] - cells[1][0] + cells[1][1])[:, 0]
    reference = stats.ttest_1samp(contrast, 0)
    f, p, _ = interaction(cells)
    assert f == pytest.approx(reference.statistic**2)
    assert p == pytest.approx(reference.pvalue)


def test_repeated_measures_by_hand() -> None:
    # Three patients, 2 × 3 cells: squares from the definition, patient by patient.
    cells = grid(np.random.default_rng(1), 3, 1, 0.05, 0.0, (2, 3))
    y = np.array([[own[:, 0] for own in row] for row in cells])
    effects = np.zeros_like(y)
    for i in range(2):
        for j in range(3):
            for k in range(3):
                effects[i, j, k] = (
                    y[i, j, k] - y[i, :, k].mean() - y[:, j, k].mean() + y[..., k].mean()
                )
    mean = effects.mean(2, keepdims=True)
    square = 3 * (mean**2).sum() / 2
    error = ((effects - mean) ** 2).sum() / 4
    f, p, _ = interaction(cells)
    assert f == pytest.approx(square / error)
    assert p == pytest.approx(stats.f.sf(square / error, 2, 4))


@pytest.mark.parametrize(("seeds", "luck"), [(1, 0.0), (3, 0.0), (3, 0.02)])
def test_false_alarms(seeds: int, luck: float) -> None:
    rng = np.random.default_rng(2)
    found = [interaction(grid(rng, 20, seeds, 0.0, luck))[1] < 0.05 for _ in range(400)]
    assert np.mean(found) <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / 400)


def test_a_strong_interaction_is_found_and_its_share_is_right() -> None:
    cells = grid(np.random.default_rng(3), 40, 3, 0.2, 0.01)
    _, p, share = interaction(cells)
    assert p < 0.001
    means = np.array([[0, -0.03], [0.05, 0.22]])
    overall = means - means.mean(0) - means.mean(1)[:, None] + means.mean()
    expected = (overall**2).sum() / ((means - means.mean()) ** 2).sum()
    assert share == pytest.approx(expected, abs=0.08)


def aligned(levels: dict[str, dict[str, str]]) -> Aligned:
    rng = np.random.default_rng(0)
    values = {choice: rng.uniform(0.7, 0.9, (8, 2)) for choice in levels}
    entries = [
        replace(entry, settings={"model_name": "unet", **levels[entry.choice]})
        for entry in entries_of(values)
    ]
    return align(entries, quick())


def test_a_grid_is_recognised() -> None:
    levels = {
        f"{model} {rate}": {"model_name": model, "optimizer.lr": rate}
        for model in ("unet", "vnet")
        for rate in ("0.1", "0.2", "0.3")
    }
    table = find_interactions(aligned(levels))
    assert table[["factor_a", "factor_b"]].drop_duplicates().to_numpy().tolist() == [
        ["model", "optimizer.lr"]
    ]
    assert table["p"].between(0, 1).all()


def test_a_missing_cell_is_no_grid() -> None:
    levels = {
        "a": {"model_name": "unet", "optimizer.lr": "0.1"},
        "b": {"model_name": "vnet", "optimizer.lr": "0.1"},
        "c": {"model_name": "unet", "optimizer.lr": "0.2"},
    }
    assert find_interactions(aligned(levels)).empty


def test_one_factor_is_no_grid() -> None:
    levels = {name: {"model_name": name} for name in ("unet", "vnet", "fcnn")}
    assert find_interactions(aligned(levels)).empty
