"""Learning curves of all runs in one table."""

from __future__ import annotations

import pandas as pd

from lightning_brats.comparison.alignment import Aligned

COLUMNS = ["choice", "seed", "fold", "epoch", "step", "seconds_total", "name", "value"]
CURVES = ("train/", "val/", "lr")
"""What names of curves start with; the rest of the table tells how fast training went."""


def learning_curves(aligned: Aligned) -> pd.DataFrame:
    """Columns choice, seed, fold, epoch, step, seconds_total, name, value; known values only."""
    parts = []
    for choice, runs in zip(aligned.choices, aligned.runs, strict=True):
        for entry in runs:
            if entry.history is None:
                continue
            table = entry.history
            keys = pd.DataFrame(
                {
                    "choice": choice,
                    "seed": entry.seed,
                    "fold": entry.fold,
                    "epoch": table["epoch"],
                    "step": table["step"],
                    "seconds_total": table["seconds"].cumsum(),
                }
            ).astype({"seed": "Int64", "fold": "Int64"})
            names = [name for name in table if name.startswith(CURVES)]
            parts += [keys.assign(name=name, value=table[name].astype(float)) for name in names]
    if not parts:
        return pd.DataFrame(columns=COLUMNS)
    return pd.concat(parts, ignore_index=True).dropna(subset=["value"])[COLUMNS]
