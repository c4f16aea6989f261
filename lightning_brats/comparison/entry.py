"""One thing that is compared: a run, or somebody's scored masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

COLUMNS = ("case", "region", "metric", "value")


@dataclass(frozen=True)
class Entry:
    """What is known of a run or of a table of scores.

    Args:
        name: Shown where single runs are listed.
        folder: Where it lies; of a lone table, the folder that holds it.
        choice: What is compared, e.g. `attention_unet`; runs of one choice differ in seed or fold.
        seed: Of weights and patches; `None` where unknown.
        fold: Of a cross-validation; `None` where there is none.
        scores: Columns case, region, metric, value; one row each.
        train_cases: Trained on or chosen by; empty where unknown.
        test_cases: Scored.
        patients: Case → patient; the case itself where unknown.
        facts: What has to agree for scores to be comparable, as far as known: `protocol`,
            `data_fingerprint`, `regions`, `labels`, `budget` (name → value), `split`, `phantom`.
        cost: As far as known: `parameters`, `gflops_per_patch`, `train_seconds`,
            `inference_seconds_per_case`, `peak_memory_mb`, `energy_kwh`.
        history: `metrics.csv`, one row an epoch.
        settings: Override path → value.
        cases: Column `case`, and of `cohort`, `grade`, `volume_WT_ml`, `lesions` what is known.
    """

    name: str
    folder: Path
    choice: str
    seed: int | None
    fold: int | None
    scores: pd.DataFrame
    train_cases: frozenset[str] = frozenset()
    test_cases: tuple[str, ...] = ()
    patients: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    cost: Mapping[str, float] = field(default_factory=dict)
    history: pd.DataFrame | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    cases: pd.DataFrame | None = None

    def patient(self, case: str) -> str:
        """Whose case it is; the case itself where nobody said."""
        return self.patients.get(case, case)
