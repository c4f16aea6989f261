"""How every choice scores, and how that varies between patients and between runs."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lightning_brats.comparison.alignment import Aligned
from lightning_brats.comparison.bootstrap import interval, resampled
from lightning_brats.comparison.settings import Settings
from lightning_brats.comparison.uncertainty import Pool, of_mean
from lightning_brats.comparison.words import is_share
from lightning_brats.metrics import METRICS, PROTOCOLS


def summarise(aligned: Aligned, settings: Settings) -> pd.DataFrame:
    """Mean and spread of every choice.

    Returns:
        Columns choice, region, metric, mean, median, q25, q75, sd_cases (over patients, runs
        averaged), sd_seeds (of the runs' means, NaN with one), low, high, n_cases, n_seeds.
    """
    rows = []
    for number, cell in enumerate(aligned.cells):
        rng = np.random.default_rng([settings.seed, number])
        pool = Pool.of(cell.values)
        drawn = resampled(cell.values, pool, settings.resamples, rng)
        for choice, own, means in zip(aligned.choices, cell.values, drawn, strict=True):
            values, runs = own.mean(1), own.mean(0)
            low, high = interval(means, float(own.mean()), of_mean(own, pool))
            q25, median, q75 = np.percentile(values, [25, 50, 75])
            rows.append(
                {
                    "choice": choice,
                    "region": cell.region,
                    "metric": cell.metric,
                    "mean": own.mean(),
                    "median": median,
                    "q25": q25,
                    "q75": q75,
                    "sd_cases": values.std(ddof=1) if len(values) > 1 else np.nan,
                    "sd_seeds": runs.std(ddof=1) if len(runs) > 1 else np.nan,
                    "low": np.maximum(low, 0),
                    "high": np.minimum(high, _largest(cell.metric, aligned)),
                    "n_cases": cell.cases,
                    "n_seeds": len(runs),
                }
            )
    return pd.DataFrame(rows)


def _largest(metric: str, aligned: Aligned) -> float:
    """What a mean cannot exceed: 1 for shares, the penalty for distances."""
    if is_share(metric):
        return 1.0
    if METRICS[metric].unit != "mm":
        return float("inf")
    entries = (entry for runs in aligned.runs for entry in runs)
    return max(PROTOCOLS[entry.facts.get("protocol", "legacy")].penalty for entry in entries)
