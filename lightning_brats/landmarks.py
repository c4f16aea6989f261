"""`preprocess.landmarks=auto`: histogram landmarks, learnt from the split's training cases alone.

Which cases are trained on is drawn from prepared cases, and how cases are prepared depends on the
landmarks. So cases are first prepared with z-scores, which the split is drawn from and landmarks
are learnt from, and then with these. The same training cases, whatever the seed of a run, share
what was learnt: it is kept beside the prepared cases, and copied into the run's folder.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig

from lightning_brats.data.preprocess import LEARNT
from lightning_brats.data.raw.landmarks import learn_landmarks, write_landmarks
from lightning_brats.data.sources import CaseSource
from lightning_brats.data.splits import Split
from lightning_brats.parts import build
from lightning_brats.preparation import Progress, cache_root, find_source, prepare_source

STORED = "landmarks.json"
"""File of a run's folder with the landmarks that it was trained with."""


def with_landmarks(
    cfg: DictConfig,
    source: CaseSource,
    split: Split,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> tuple[DictConfig, CaseSource]:
    """Learn landmarks where they are to be learnt, and prepare the split's cases with them.

    Args:
        cfg: Configuration of data and preprocessing.
        source: Prepared cases.
        split: Whose training cases are learnt from.
        folder: Of a run that may have begun already; it goes on with its own landmarks.
        progress: Called with (done, total) after each case that had to be made.

    Returns:
        The configuration with the file of landmarks, and the cases prepared with them; both as
        they were given where there is nothing to learn.

    Raises:
        DataError: See `prepare_source`.
    """
    if build(cfg.preprocess).landmarks != LEARNT:
        return cfg, source
    kept = folder / STORED if folder else None
    path = kept if kept and kept.is_file() else _learnt(cfg, source, split)
    known = cfg.copy()
    known.preprocess.landmarks = str(path)
    prepared = prepare_source(known, find_source(known), split, progress)
    return known, replace(prepared, excluded=source.excluded)


def keep_landmarks(cfg: DictConfig, folder: Path) -> None:
    """Copy the landmarks that a run uses into its folder.

    Args:
        cfg: From `with_landmarks`.
        folder: Of the run.
    """
    preprocess = build(cfg.preprocess)
    path = cfg.preprocess.landmarks
    used = preprocess.normalisation == "histogram" and isinstance(path, str)
    if used and Path(path).expanduser().resolve() != (folder / STORED).resolve():
        shutil.copyfile(Path(path).expanduser(), folder / STORED)


def _learnt(cfg: DictConfig, source: CaseSource, split: Split) -> Path:
    """The file of landmarks of a split's training cases, made where it is not there yet."""
    assert source.catalogue is not None
    entries = source.catalogue.select(split.train).entries
    names = sorted(entry.folder.name for entry in entries)  # they change with files and steps
    key = hashlib.sha256(json.dumps(names).encode()).hexdigest()[:16]
    path = cache_root(cfg) / "landmarks" / f"{key}.json"
    if not path.is_file():
        found = learn_landmarks(entries, source.modalities)
        write_landmarks(path, found, len(entries), build(cfg.preprocess).provisional)
    return path
