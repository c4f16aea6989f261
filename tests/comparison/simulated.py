"""Scores with a known truth: patients, choices and seeds that differ by so much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lightning_brats.comparison.alignment import Aligned, align
from lightning_brats.comparison.entry import Entry
from lightning_brats.comparison.settings import Settings


@dataclass(frozen=True)
class Truth:
    """Standard deviations of what scores are made of; that of seeds may differ by choice."""

    patient: float = 0.10
    choice_patient: float = 0.04
    seed: float | Sequence[float] = 0.01
    rest: float = 0.03

    def draw(
        self, rng: np.random.Generator, effects: Sequence[float], patients: int, seeds: int
    ) -> list[np.ndarray]:
        """One (P, S) a choice, around 0.8 and the choice's effect."""
        shared = rng.normal(0, self.patient, (patients, 1))
        luck = np.broadcast_to(np.asarray(self.seed), len(effects))
        return [
            0.8
            + effect
            + shared
            + rng.normal(0, self.choice_patient, (patients, 1))
            + rng.normal(0, spread, (1, seeds))
            + rng.normal(0, self.rest, (patients, seeds))
            for effect, spread in zip(effects, luck, strict=True)
        ]


def entries_of(
    values: Mapping[str, np.ndarray],
    region: str = "WT",
    metric: str = "dice",
    **known: Any,
) -> list[Entry]:
    """One entry a column of each choice's (P, S)."""
    return [
        entry(f"{choice}-{seed}", choice, seed, {(region, metric): own[:, seed]}, **known)
        for choice, own in values.items()
        for seed in range(own.shape[1])
    ]


def entry(
    name: str,
    choice: str,
    seed: int | None,
    columns: Mapping[tuple[str, str], Sequence[float]],
    **known: Any,
) -> Entry:
    """An entry from (region, metric) → values of c00, c01, …"""
    rows = [
        (f"c{number:02d}", region, metric, float(value))
        for (region, metric), values in columns.items()
        for number, value in enumerate(values)
    ]
    scores = pd.DataFrame(rows, columns=["case", "region", "metric", "value"])
    known = {
        "test_cases": tuple(dict.fromkeys(scores["case"])),
        "train_cases": frozenset({"t0", "t1"}),
        "facts": {"protocol": "legacy", "data_fingerprint": "f", "budget": {"epochs": 2}},
        **known,
    }
    return Entry(name, Path(name), choice, seed, None, scores, **known)


def aligned_of(
    values: Mapping[str, np.ndarray], region: str = "WT", metric: str = "dice"
) -> Aligned:
    """The same, side by side."""
    return align(entries_of(values, region, metric), Settings(metrics=(metric,)))


def quick(**chosen: Any) -> Settings:
    """Settings for tests that do not look at p-values by resampling."""
    return Settings(**{"metrics": ("dice",), "resamples": 200, "permutations": 200, **chosen})
