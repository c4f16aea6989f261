"""Scores side by side: for each region and metric, patients × runs of every choice.

Shapes: `P` patients, `S` runs (seeds or folds) of a choice, `C` choices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from lightning_brats.comparison.entry import Entry
from lightning_brats.comparison.settings import Settings
from lightning_brats.errors import ConfigError
from lightning_brats.evaluation.summary import PENALISED
from lightning_brats.metrics import METRICS, PROTOCOLS

KEYS = ["choice", "seed", "fold", "case", "patient", "region", "metric", "value"]


@dataclass(frozen=True)
class Cell:
    """One region and metric.

    Args:
        region: Its name.
        metric: Its name.
        patients: P names; every choice has a value for each of them.
        values: One (P, S) a choice, in the metric's unit, finite; a patient's cases are averaged.
        cases: Number of cases the patients have.
        left_out: Cases left out for all choices, as a value is undefined for one of them.
    """

    region: str
    metric: str
    patients: tuple[str, ...]
    values: tuple[np.ndarray, ...]
    cases: int
    left_out: int = 0

    @property
    def sign(self) -> int:
        """1 where higher is better, else −1."""
        return 1 if METRICS[self.metric].higher_is_better else -1

    @property
    def means(self) -> np.ndarray:
        """(P, C), averaged over runs."""
        return np.stack([values.mean(1) for values in self.values], 1)


@dataclass(frozen=True)
class Aligned:
    """Everything that is compared.

    Args:
        choices: C names.
        runs: The runs of each choice, in the order of the columns of a cell's values.
        cells: By region, then metric; those with patients only.
    """

    choices: tuple[str, ...]
    runs: tuple[tuple[Entry, ...], ...]
    cells: tuple[Cell, ...]

    def ordered(self, choices: Sequence[str]) -> Aligned:
        """The same with the choices in another order."""
        places = [self.choices.index(choice) for choice in choices]
        cells = [replace(c, values=tuple(c.values[i] for i in places)) for c in self.cells]
        return Aligned(tuple(choices), tuple(self.runs[i] for i in places), tuple(cells))

    def cell(self, region: str, metric: str) -> Cell:
        """A cell by its names."""
        return next(c for c in self.cells if (c.region, c.metric) == (region, metric))

    @property
    def seeds(self) -> int:
        """Runs of the choice with the fewest."""
        return min(map(len, self.runs))


def align(entries: Sequence[Entry], settings: Settings) -> Aligned:
    """Lay the scores side by side, on the cases that all entries have.

    Raises:
        ConfigError: Nothing is left to compare, or a region or metric was not scored.
    """
    choices = tuple(dict.fromkeys(entry.choice for entry in entries))
    if len(choices) < 2:
        raise ConfigError(
            f"all runs are one choice, '{choices[0]}'"
            if choices
            else "there is nothing to compare",
            remedy="name runs that differ in more than seed and fold, or tell the paths apart with "
            "names=[…]",
        )
    runs = tuple(tuple(e for e in entries if e.choice == choice) for choice in choices)
    patients = {
        case: entry.patient(case) for entry in reversed(entries) for case in entry.test_cases
    }
    wide = {id(e): _wide(e) for e in entries}
    cells = []
    for region in compared_regions(entries, settings):
        for metric in settings.metrics:
            columns = [[_column(wide[id(e)], e, region, metric) for e in own] for own in runs]
            if cell := _cell(region, metric, columns, patients):
                cells.append(cell)
    if not cells:
        remedy = "compare entries that were scored on the same cases"
        raise ConfigError("no case has a value in every entry", remedy=remedy)
    return Aligned(choices, runs, tuple(cells))


def compared_regions(entries: Sequence[Entry], settings: Settings) -> list[str]:
    """The regions asked for, or those that every entry was scored on.

    Raises:
        ConfigError: There are none, or an entry lacks one that was asked for.
    """
    scored = [list(dict.fromkeys(entry.scores["region"])) for entry in entries]
    common = [region for region in scored[0] if all(region in own for own in scored)]
    wanted = list(settings.regions) if settings.regions else common
    for region in wanted:
        for entry, own in zip(entries, scored, strict=True):
            if region not in own:
                raise ConfigError(
                    f"{entry.name} has no scores of {region}",
                    file=entry.folder,
                    remedy=f"regions=[{','.join(common)}]" if common else "score the same regions",
                )
    if not wanted:
        raise ConfigError("no region was scored in all entries", remedy="score the same regions")
    return wanted


def long_table(aligned: Aligned) -> pd.DataFrame:
    """Columns choice, seed, fold, case, patient, region, metric, value; infinite HD95 as used."""
    wanted = {(cell.region, cell.metric) for cell in aligned.cells}
    parts = []
    for choice, runs in zip(aligned.choices, aligned.runs, strict=True):
        for entry in runs:
            keys = pd.MultiIndex.from_frame(entry.scores[["region", "metric"]])
            rows = entry.scores[keys.isin(wanted)]
            parts.append(
                rows.assign(
                    choice=choice,
                    seed=entry.seed,
                    fold=entry.fold,
                    patient=rows["case"].map(entry.patient),
                    value=_treated(rows["metric"], rows["value"], entry),
                )
            )
    return pd.concat([part[KEYS].astype({"seed": "Int64", "fold": "Int64"}) for part in parts])


def _wide(entry: Entry) -> pd.DataFrame:
    """Case × (region, metric)."""
    treated = _treated(entry.scores["metric"], entry.scores["value"], entry)
    rows = entry.scores.assign(value=treated)
    return rows.pivot(index="case", columns=["region", "metric"], values="value")


def _treated(metrics: pd.Series, values: pd.Series, entry: Entry) -> pd.Series:
    """Values with the protocol's penalty for an infinite HD95, other infinite ones undefined."""
    penalty = PROTOCOLS[entry.facts.get("protocol", "legacy")].penalty
    infinite = np.isinf(values)
    return values.mask(infinite, metrics.isin(PENALISED).map({True: penalty, False: np.nan}))


def _column(wide: pd.DataFrame, entry: Entry, region: str, metric: str) -> pd.Series:
    if (region, metric) in wide:
        return wide[region, metric]
    known = sorted({name for own, name in wide.columns if own == region})
    raise ConfigError(
        f"{entry.name} has no {metric} of {region}",
        file=entry.folder,
        remedy=f"metrics=[…] of {', '.join(known)}, or score it with a protocol that measures it",
    )


def _cell(
    region: str, metric: str, columns: Sequence[Sequence[pd.Series]], patients: dict[str, str]
) -> Cell | None:
    table = pd.concat([column for own in columns for column in own], axis=1, join="inner")
    whole = table.dropna()
    if whole.empty:
        return None
    owners = [patients[case] for case in whole.index]
    means = whole.set_axis(range(whole.shape[1]), axis=1).groupby(owners, sort=True).mean()
    ends = np.cumsum([len(own) for own in columns])
    values = np.split(means.to_numpy(float), ends[:-1], axis=1)
    names = tuple(map(str, means.index))
    return Cell(region, metric, names, tuple(values), len(whole), len(table) - len(whole))
