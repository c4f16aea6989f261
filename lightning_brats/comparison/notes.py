"""How values were treated and which tests were made."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from lightning_brats.comparison.alignment import Aligned
from lightning_brats.comparison.settings import Settings
from lightning_brats.comparison.words import plural
from lightning_brats.evaluation.summary import PENALISED
from lightning_brats.metrics import PROTOCOLS


def notes(aligned: Aligned, settings: Settings, pairs: pd.DataFrame) -> Iterator[str]:
    """Sentences for the foot of a page."""
    family = plural(int(pairs["p_holm"].notna().sum()), "test")
    if settings.baseline is not None:
        family += f" of differences from {settings.baseline}, the baseline (no others were made)"
    yield (
        "Tests: Wilcoxon's signed-rank test over patients, runs averaged, and a t-test of the mean "
        "with the error of patients and of seeds (the variance of seeds pooled over choices, or a "
        "choice's own where larger). The larger p-value, Holm-corrected over "
        f"{family}, has to be below {settings.alpha:g}. Sign-flip permutation p-values are given "
        "uncorrected."
    )
    yield (
        f"Intervals: 95 %, {settings.resamples} resamples of patients, and of runs inside each "
        "choice, expanded for small numbers; not corrected for how many there are."
    )
    for cell in aligned.cells:
        if cell.left_out:
            yield (
                f"{cell.metric} of {cell.region}: {cell.left_out} cases are undefined in at least "
                f"one run and left out for all choices; {cell.cases} remain."
            )
    infinite = _infinite(aligned)
    if infinite:
        used = sorted({PROTOCOLS[name].penalty for name in _protocols(aligned)})
        yield (
            f"{infinite} infinite HD95 (one mask empty) count as the penalty of "
            f"{' or '.join(f'{penalty:g}' for penalty in used)} mm, for every choice alike."
        )
    cell = max(aligned.cells, key=lambda cell: cell.cases)
    if len(cell.patients) < cell.cases:
        yield (
            f"{cell.cases} cases of {len(cell.patients)} patients: a patient's cases are averaged, "
            "so that every patient counts once."
        )


def _protocols(aligned: Aligned) -> set[str]:
    return {e.facts.get("protocol", "legacy") for runs in aligned.runs for e in runs}


def _infinite(aligned: Aligned) -> int:
    used = {cell.metric for cell in aligned.cells} & set(PENALISED)
    regions = {cell.region for cell in aligned.cells}
    count = 0
    for entry in (entry for runs in aligned.runs for entry in runs):
        rows = entry.scores
        own = rows["metric"].isin(used) & rows["region"].isin(regions)
        count += int(np.isinf(rows.loc[own, "value"]).sum())
    return count
