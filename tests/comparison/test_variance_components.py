"""Shares of variance that were put in come out."""

import numpy as np
import pytest
from simulated import Truth, aligned_of

from lightning_brats.comparison.alignment import Cell
from lightning_brats.comparison.variance import COMPONENTS, components, variance_shares


def mean_components(draw, folds, repeats: int) -> dict[str, float]:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(repeats):
        values = tuple(draw(rng))
        names = tuple(f"p{number}" for number in range(len(values[0])))
        found.append(components(Cell("WT", "dice", names, values, len(names)), folds))
    return {name: float(np.mean([own[name] for own in found])) for name in COMPONENTS}


def test_known_variances_are_recovered() -> None:
    truth = Truth(patient=0.10, choice_patient=0.03, seed=0.04, rest=0.02)

    def draw(rng: np.random.Generator) -> list[np.ndarray]:
        return truth.draw(rng, rng.normal(0, 0.06, 8), 30, 4)

    found = mean_components(draw, [[None] * 4] * 8, 60)
    assert found["case"] == pytest.approx(0.10**2, rel=0.1)
    assert found["seed"] == pytest.approx(0.04**2, rel=0.1)
    assert found["choice"] == pytest.approx(0.06**2, rel=0.25)
    assert found["residual"] == pytest.approx(0.03**2 + 0.02**2, rel=0.05)
    assert np.isnan(found["fold"])


def test_folds_are_told_from_seeds() -> None:
    truth = Truth(patient=0.10, choice_patient=0.02, seed=0.03, rest=0.02)
    folds = np.repeat(np.arange(5), 2)

    def draw(rng: np.random.Generator) -> list[np.ndarray]:
        shared = rng.normal(0, 0.05, 5)[folds]
        return [own + shared for own in truth.draw(rng, rng.normal(0, 0.04, 4), 20, 10)]

    found = mean_components(draw, [folds.tolist()] * 4, 80)
    assert found["fold"] == pytest.approx(0.05**2, rel=0.2)
    assert found["seed"] == pytest.approx(0.03**2, rel=0.1)
    assert found["case"] == pytest.approx(0.10**2, rel=0.15)


def test_uneven_numbers_of_runs() -> None:
    truth = Truth(patient=0.08, choice_patient=0.03, seed=0.03, rest=0.03)

    def draw(rng: np.random.Generator) -> list[np.ndarray]:
        values = truth.draw(rng, rng.normal(0, 0.05, 6), 30, 5)
        return [own[:, :count] for own, count in zip(values, (1, 2, 5, 3, 4, 2), strict=True)]

    found = mean_components(draw, [[None] * n for n in (1, 2, 5, 3, 4, 2)], 100)
    assert found["case"] == pytest.approx(0.08**2, rel=0.15)
    assert found["seed"] == pytest.approx(0.03**2, rel=0.2)
    assert found["residual"] == pytest.approx(0.03**2 + 0.03**2, rel=0.1)


def test_shares_add_up_and_seeds_stay_unknown_with_one() -> None:
    rng = np.random.default_rng(0)
    values = Truth().draw(rng, (0.0, 0.1), 20, 1)
    table = variance_shares(aligned_of(dict(zip("ab", values, strict=True))))
    shares = table.set_index("component")["share"]
    assert shares.sum() == pytest.approx(1)
    assert np.isnan(shares["seed"])
    assert np.isnan(shares["fold"])
    assert shares["case"] > shares["residual"]
