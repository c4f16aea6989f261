"""From a configuration to prepared cases, and what is known of the data by then."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from lightning_brats.data.cache import Cache, default_cache
from lightning_brats.data.case import Case
from lightning_brats.data.catalogue import Catalogue, Description, file_name
from lightning_brats.data.datamodule import BratsDataModule
from lightning_brats.data.entry import VERSION
from lightning_brats.data.exclusion import SETTING, BadCases, describe
from lightning_brats.data.sources import CaseSource
from lightning_brats.data.splits import PARTS, Split, check_split
from lightning_brats.parallel import cores
from lightning_brats.parts import build, plain
from lightning_brats.ranks import launched

Progress = Callable[[int, int], None]
log = logging.getLogger("lightning_brats.data.cache")

ELSEWHERE = ("cache", "on_bad_case")
"""Keys of the data group that do not tell one data set from another."""


def cache_root(cfg: DictConfig) -> Path:
    """Folder of the prepared cases."""
    return Path(cfg.data.cache) if cfg.data.cache else default_cache() / "cases"


def find_source(cfg: DictConfig, anew: bool = False) -> CaseSource:
    """The cases of a configuration: from their catalogue where it can be trusted, else indexed.

    Args:
        cfg: Configuration of data and preprocessing.
        anew: Whether to index them in any case.

    Raises:
        DataError: The data cannot be used as they are.
        ConfigError: Settings that cannot be.
    """
    catalogue = None if anew else last_catalogue(cfg)
    BadCases(cfg.data.on_bad_case, SETTING)  # refuses a misspelt policy
    if catalogue is not None and not (catalogue.excluded and cfg.data.on_bad_case == "error"):
        stale = catalogue.stale()
        if stale is None:
            return from_catalogue(catalogue)
        log.info("the data set is indexed anew: %s", stale)
    arguments = plain(cfg.data)
    arguments.pop("cache")
    return build(arguments)


def last_catalogue(cfg: DictConfig) -> Catalogue | None:
    """The newest catalogue of a configuration's data, trusted or not."""
    return Catalogue.open(_catalogue_name(cfg), cache_root(cfg))


def prepare_source(
    cfg: DictConfig,
    source: CaseSource,
    given: Split | None = None,
    progress: Progress | None = None,
    workers: int | None = None,
) -> CaseSource:
    """Prepare the cases, or those of a given split, and keep a catalogue of a whole data set.

    Args:
        cfg: Configuration of data and preprocessing.
        source: From `find_source`.
        given: The split to be used, where none is to be drawn.
        progress: Called with (done, total) after each case that had to be made.
        workers: Processes; by default one a core.

    Returns:
        The source with the cases that can be used, and their catalogue.

    Raises:
        DataError: A case cannot be used, unless it is to be skipped, or see `Cache.prepare`.
    """
    if source.catalogue is not None:
        return source
    cases = source.cases
    if given is not None:
        check_split(given, cases)
        wanted = {name for part in PARTS for name in getattr(given, part)}
        cases = [case for case in cases if case.case in wanted]
    cache = Cache(cache_root(cfg), build(cfg.preprocess).provisional)
    catalogue = cache.prepare(
        cases,
        workers or cores(),
        progress,
        BadCases(cfg.data.on_bad_case, SETTING),
        described(source),
        launched(),
    )
    catalogue = catalogue.with_twins()
    return from_catalogue(kept(cfg, catalogue) if given is None else catalogue)


def described(source: CaseSource) -> Description:
    """What a catalogue is to know of a data set."""
    return Description(source.name, source.roots, source.phantom, source.excluded)


def kept(cfg: DictConfig, catalogue: Catalogue) -> Catalogue:
    """The catalogue, saved for the next start by one process, where the cache may be written to."""
    if launched()[0] > 0:
        return catalogue
    try:
        return catalogue.save(_catalogue_name(cfg))
    except OSError:
        return catalogue  # somebody else's cache: the next start looks at every file again


def fingerprint(cases: Sequence[Case], cache: Cache) -> str:
    """Short hash of what makes a data set the same one.

    Identifiers, patients, modalities, label coding and the shapes of the files count; where the
    files lie, their times and the preprocessing do not, so that a copy has the same fingerprint.
    Neither do synthetic cases: they are a way to train on the data, not other data.

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
            list(cache.file_shape(case)),
        ]
        for case in cases
        if not case.synthetic
    )
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def about_data(data: BratsDataModule) -> dict[str, Any]:
    """What a summary says of the data that a run used, and of its split."""
    used = [case for part in PARTS for case in data.cases(part)]
    return {
        "data": data.source.name,
        "data_fingerprint": fingerprint(used, data.cache),
        "fold": data.split.fold,
        "folds": data.split.folds,
        "synthetic_cases": sum(case.synthetic for case in used),
        "excluded": describe(data.source.excluded),
        "phantom": data.source.phantom,
        "test_cases": len(data.cases("test")),
    }


def from_catalogue(catalogue: Catalogue) -> CaseSource:
    """The source of a catalogue's cases."""
    known = catalogue.known
    return CaseSource(
        name=known["name"],
        cases=catalogue,
        phantom=known["phantom"],
        excluded=catalogue.excluded,
        roots=tuple(Path(root) for root in known["roots"]),
        catalogue=catalogue,
    )


def _catalogue_name(cfg: DictConfig) -> Path:
    """Where catalogues of these data with this preprocessing are."""
    data = {key: value for key, value in plain(cfg.data).items() if key not in ELSEWHERE}
    for key in ("root", "table"):
        if data.get(key):
            data[key] = os.path.abspath(os.path.expanduser(data[key]))
    data["roots"] = [_absolute(root) for root in data.get("roots") or ()]
    parts = [VERSION, data, build(cfg.preprocess).provisional.to_dict()]
    text = json.dumps(parts, sort_keys=True, default=str)
    return file_name(cache_root(cfg), hashlib.sha256(text.encode()).hexdigest()[:16])


def _absolute(root: Any) -> Any:
    if isinstance(root, dict):
        return {**root, "root": _absolute(root.get("root", ""))}
    return os.path.abspath(os.path.expanduser(str(root)))
