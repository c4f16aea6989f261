"""From paths to what is compared: run folders, folders of runs, scored folders, tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from lightning_brats.comparison.choices import factors, label
from lightning_brats.comparison.entry import Entry
from lightning_brats.comparison.given import WEIGHTS
from lightning_brats.comparison.loading import find, read_entry
from lightning_brats.errors import ConfigError

__all__ = ["Entry", "load_entries", "unfinished"]


def load_entries(
    paths: Sequence[str | Path],
    names: Sequence[str] | None = None,
    details: pd.DataFrame | None = None,
) -> list[Entry]:
    """Read everything that is to be compared.

    Args:
        paths: Runs, folders of runs at any depth, folders scored by `experiments/evaluate.py`, or
            tables of scores (CSV, Parquet).
        names: What each path is, one each; all runs under a path are then one choice. Without them
            a run is named by its own name, where people or recipes gave each choice one, else by
            the settings in which the runs differ, seeds and folds left out.
        details: Column `case` and `cohort`, `grade` or others that the scores do not tell.

    Raises:
        ConfigError: A path does not exist or holds no scores, or names and paths do not match.
        DataError: A file is damaged.
    """
    if not paths:
        remedy = "python experiments/compare.py 'runs=[runs/unet,runs/attention_unet]'"
        raise ConfigError("no run is named", remedy=remedy)
    if names is not None and len(names) != len(paths):
        raise ConfigError(
            f"{len(names)} names for {len(paths)} paths", remedy="give one name a path, or none"
        )
    entries: list[Entry] = []
    given: list[str | None] = []
    for number, path in enumerate(map(Path, paths)):
        known = {entry.folder.resolve() for entry in entries}
        for table in find(path)[0]:
            entry = read_entry(table, details)
            if entry.folder.resolve() in known and entry.settings:
                problem = "the run is named twice"
                raise ConfigError(problem, file=entry.folder, remedy="name it once")
            entries.append(entry)
            given.append(names[number] if names else None)
    return _named(entries, given)


def unfinished(paths: Sequence[str | Path]) -> list[Path]:
    """Folders of runs under the paths that have no scores yet."""
    return [folder for path in paths for folder in find(Path(path))[1]]


def _named(entries: list[Entry], given: Sequence[str | None]) -> list[Entry]:
    """The entries with their choices."""
    runs = [entry for entry in entries if entry.settings]
    found = factors([entry.settings for entry in runs])
    by_name, levels = _tells_apart(runs, found), iter(found)
    taken = Counter(entry.name for entry in entries)
    named = []
    for entry, name in zip(entries, given, strict=True):
        own = next(levels) if entry.settings else {}
        if name is None and entry.settings:
            name = entry.settings["name"] if by_name else label(own)
            name = name or str(entry.settings.get("model_name") or entry.name)
        if name is None:
            lone = taken[entry.name] == 1
            name = entry.name if lone else f"{entry.folder.parent.name}/{entry.name}"
        named.append(replace(entry, choice=name))
    return named


def _tells_apart(runs: Sequence[Entry], levels: Sequence[Mapping[str, str]]) -> bool:
    """Whether runs have names of their own (`name=…`, or a recipe's), one for each choice.

    They say more than a line of all settings that differ. Choices that start from other weights may
    have one name or several.
    """
    names = [str(run.settings.get("name") or "") for run in runs]
    own = [name != run.settings.get("model_name") for name, run in zip(names, runs, strict=True)]
    choices = [label(own) for own in levels]
    starts = [
        (choice, run.settings.get(WEIGHTS)) for choice, run in zip(choices, runs, strict=True)
    ]
    # A name is of one choice, and whatever makes the choice has one name.
    one_choice = len(set(zip(names, choices, strict=True))) == len(set(names))
    one_name = len(set(zip(names, starts, strict=True))) == len(set(starts))
    return all(names) and any(own) and one_choice and one_name
