"""From indexed cases to prepared ones and their split; what is known of the data by then."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from lightning_brats.data.cache import Cache, CachedCase, default_cache
from lightning_brats.data.case import Case
from lightning_brats.data.preprocess import Geometry
from lightning_brats.data.sources import CaseSource
from lightning_brats.data.splits import Split, make_split
from lightning_brats.errors import ConfigError
from lightning_brats.parallel import cores
from lightning_brats.parts import build


def cache_root(cfg: DictConfig) -> Path:
    """Folder of the prepared cases."""
    return Path(cfg.data.cache) if cfg.data.cache else default_cache() / "cases"


def given_split(cfg: DictConfig, folder: Path, resumed: bool) -> Split | None:
    """The split of the run that goes on, or of `split.file`; `None` where one is to be drawn.

    Raises:
        ConfigError: A split is given, and a fold to be drawn as well.
        DataError: The file is missing or not a split.
    """
    if resumed:
        return Split.load(folder / "split.json")
    if cfg.split.file is None:
        return None
    if cfg.fold is not None:
        raise ConfigError(
            f"fold={cfg.fold} is to be drawn, but a split is given",
            file=cfg.split.file,
            remedy="give one of the two; a fold's own split.json may be given as split.file",
        )
    return Split.load(Path(cfg.split.file))


def drawn_split(cfg: DictConfig, source: CaseSource, progress: Callable[[int, int], None]) -> Split:
    """A split stratified by tumour size too, for which every case is prepared first.

    Raises:
        DataError: A case cannot be used, or there are too few patients.
        ConfigError: Shares or folds that cannot be.
    """
    draw = partial(
        make_split,
        source.cases,
        seed=cfg.split.seed,
        validation=cfg.split.validation,
        test=cfg.split.test,
        fold=cfg.fold,
        folds=cfg.folds,
    )
    draw()  # what cannot be is refused now, and not after the hour that preparing may take
    cache = Cache(cache_root(cfg), build(cfg.preprocess))
    cache.prepare(source.cases, cores(), progress)
    return draw(sizes=tumour_volumes(source.cases, cache))


def tumour_volumes(cases: Sequence[Case], cache: Cache) -> dict[str, float]:
    """Case → volume of everything labelled in ml, for the cases that have a mask.

    Args:
        cases: Prepared cases.
        cache: Where they lie.
    """
    volumes: dict[str, float] = {}
    for case in cases:
        entry = CachedCase(cache.folder(case))
        if entry.mask is not None:
            voxel = math.prod(Geometry.from_dict(entry.meta["geometry"]).spacing)
            volumes[case.case] = float(np.count_nonzero(entry.mask) * voxel / 1000)
    return volumes


def fingerprint(cases: Sequence[Case], cache: Cache) -> str:
    """Short hash of what makes a data set the same one.

    Identifiers, patients, modalities, label coding and the shapes of the files count; where the
    files lie, their times and the preprocessing do not, so that a copy has the same fingerprint.

    Args:
        cases: Prepared cases, in any order.
        cache: Where they lie.
    """
    facts = sorted(
        [
            case.case,
            case.patient,
            list(case.images),
            sorted(case.scheme.codes.items()),
            CachedCase(cache.folder(case)).meta["geometry"]["shape"],
        ]
        for case in cases
    )
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
