"""Whether settings act on their own, or one changes what the other does.

For two factors on a grid, e.g. architecture × loss: analysis of variance with patients as blocks.
The interaction is set against its own variation between patients and, where cells have several
runs, against the variation between these, in one quasi-F ratio with Satterthwaite's degrees of
freedom (Winer, Brown & Michels, Statistical Principles in Experimental Design, 1991).

Shapes: `P` patients, `S` runs of a cell, `I J` levels of the factors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, product

import numpy as np
import pandas as pd
from scipy import stats

from lightning_brats.comparison.alignment import Aligned
from lightning_brats.comparison.choices import factors

COLUMNS = ["factor_a", "factor_b", "region", "metric", "f", "p", "share"]


def find_interactions(aligned: Aligned) -> pd.DataFrame:
    """Columns factor_a, factor_b, region, metric, f, p, share; empty without a grid.

    `share` is the part of the differences between the grid's cells that no sum of the two factors'
    own effects explains. Other factors are averaged over where they have the same levels in every
    cell; where they have not, the two factors make no grid.
    """
    rows = []
    levels = choice_levels(aligned)
    names = list(dict.fromkeys(name for own in levels for name in own))
    for first, second in combinations(names, 2):
        grid = _grid(levels, first, second)
        if grid is None:
            continue
        for cell in aligned.cells:
            cells = [
                [np.hstack([cell.values[choice] for choice in own]) for own in row] for row in grid
            ]
            rows.append((first, second, cell.region, cell.metric, *interaction(cells)))
    return pd.DataFrame(rows, columns=COLUMNS)


def choice_levels(aligned: Aligned) -> list[dict[str, str]]:
    """Factor → level of each choice; empty for choices that are no runs of ours."""
    first = [runs[0].settings for runs in aligned.runs]
    if not all(first):
        return [{} for _ in first]
    return factors(first)


def interaction(cells: Sequence[Sequence[np.ndarray]]) -> tuple[float, float, float]:
    """Test of no interaction.

    Args:
        cells: I × J of (P, S), same patients.

    Returns:
        F, its p-value, and the interaction's share of the squares between cells. With one run a
        cell this is the test of a repeated-measures analysis of variance.
    """
    means = np.array([[own.mean(1) for own in row] for row in cells])  # (I, J, P)
    first, second, patients = means.shape
    centre = means.mean((0, 1))
    effect = means - means.mean(0) - means.mean(1)[:, None] + centre
    freedom = (first - 1) * (second - 1)
    overall = effect.mean(2)
    square = patients * float((overall**2).sum()) / freedom
    varying = float(((effect - overall[:, :, None]) ** 2).sum()) / (freedom * max(patients - 1, 1))
    terms = [(varying, freedom * (patients - 1))]
    runs, noise = _run_squares(cells)
    numerator, upper = square, float(freedom)
    if runs is not None and noise is not None:
        terms.append(runs)
        numerator += noise[0]
        upper = numerator**2 / (square**2 / freedom + noise[0] ** 2 / noise[1])
    denominator = sum(term for term, _ in terms)
    cell_means = means.mean(2)
    total = float(((cell_means - cell_means.mean()) ** 2).sum())
    share = float((overall**2).sum()) / total if total > 0 else np.nan
    if denominator <= 0 or patients < 2:
        return np.nan, np.nan, share
    lower = denominator**2 / sum(term**2 / df for term, df in terms)
    f = numerator / denominator
    return float(f), float(stats.f.sf(f, upper, lower)), share


def _run_squares(
    cells: Sequence[Sequence[np.ndarray]],
) -> tuple[tuple[float, int] | None, tuple[float, int] | None]:
    """Mean squares between runs, and of patients × runs, of cells' means, each with its freedom."""
    between, noise, runs, rest, weights = 0.0, 0.0, 0, 0, []
    for own in (own for row in cells for own in row):
        patients, count = own.shape
        run = own.mean(0)
        between += patients * float(((run - run.mean()) ** 2).sum())
        left = own - run - own.mean(1, keepdims=True) + own.mean()
        noise += float((left**2).sum())
        runs += count - 1
        rest += (count - 1) * (patients - 1)
        weights.append(1 / count)
    if not runs or not rest:
        return None, None
    scale = float(np.mean(weights))  # a cell's mean varies by 1/S of what a run does
    return (scale * between / runs, runs), (scale * noise / rest, rest)


def _grid(
    levels: Sequence[Mapping[str, str]], first: str, second: str
) -> list[list[list[int]]] | None:
    """Numbers of the choices in each cell; `None` where a cell is empty or they do not match."""
    rows = sorted({own[first] for own in levels if first in own})
    columns = sorted({own[second] for own in levels if second in own})
    if min(len(rows), len(columns)) < 2:
        return None
    grid: dict[tuple[str, str], list[int]] = {pair: [] for pair in product(rows, columns)}
    others: dict[tuple[str, str], set] = {pair: set() for pair in grid}
    for number, own in enumerate(levels):
        if first not in own or second not in own:
            return None
        pair = own[first], own[second]
        grid[pair].append(number)
        others[pair].add(frozenset((k, v) for k, v in own.items() if k not in (first, second)))
    if any(rest != others[rows[0], columns[0]] for rest in others.values()):
        return None
    return [[grid[row, column] for column in columns] for row in rows]
