"""Preparing a whole data set ahead of the runs that will use it."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from omegaconf import DictConfig

from lightning_brats import console
from lightning_brats.audit import write_audit
from lightning_brats.data.cache import Cache
from lightning_brats.data.catalogue import Catalogue
from lightning_brats.data.exclusion import SETTING, BadCases
from lightning_brats.data.sources import CaseSource
from lightning_brats.data.space import counted, readable
from lightning_brats.errors import ConfigError
from lightning_brats.parallel import cores
from lightning_brats.parts import build
from lightning_brats.preparation import (
    cache_root,
    described,
    find_source,
    from_catalogue,
    kept,
    last_catalogue,
    prepare_source,
)
from lightning_brats.ranks import launched

LISTED = 20
"""Repaired cases shown in the terminal."""


def run(cfg: DictConfig) -> CaseSource:
    """Index, check, preprocess and cache every case; write the audit.

    Raises:
        DataError: The data cannot be used as they are, or the cache cannot be written to.
        ConfigError: Settings that cannot be.
    """
    console.quieten()
    if cfg.workers is not None and cfg.workers < 1:
        raise ConfigError(f"workers={cfg.workers} is not a number of processes")
    started = time.perf_counter()
    source = find_source(cfg, anew=cfg.verify)
    _say_what(source)
    if cfg.verify:
        source = _verified(cfg, source)
    else:
        with console.counting("preparing", "cases") as progress:
            source = prepare_source(cfg, source, None, progress, cfg.workers)
    assert source.catalogue is not None
    size = readable(_bytes(source.catalogue))
    print_ = console.console.print
    print_(f"{counted(len(source.cases))} prepared, {size} in {cache_root(cfg)}")
    console.excluded(source.excluded)
    if cfg.audit and launched()[0] == 0:
        folder = Path(cfg.output or Path("audit") / _slug(source.name))
        known = source.catalogue
        page = write_audit(folder, source.name, known.entries, source.excluded, known.twins)
        print_(f"  audit        {console.shown(page)}")
    seconds = time.perf_counter() - started
    print_(
        f"  took         {seconds:.0f} s"
        if seconds < 60
        else f"  took         {seconds / 60:.1f} min"
    )
    print_("runs with the same data and preprocess settings start at once")
    return source


def _verified(cfg: DictConfig, source: CaseSource) -> CaseSource:
    before = last_catalogue(cfg)
    cache = Cache(cache_root(cfg), build(cfg.preprocess).provisional)
    bad = BadCases(cfg.data.on_bad_case, SETTING)
    with console.counting("checking", "cases") as progress:
        catalogue, problems = cache.repair(
            source.cases, cfg.workers or cores(), progress, bad, described(source)
        )
    _say_repaired(problems, set(before.names) if before else set())
    return from_catalogue(kept(cfg, catalogue.with_twins()))


def _say_what(source: CaseSource) -> None:
    print_ = console.console.print
    print_(f"[bold]{source.name}[/]: {counted(len(source.cases))}")
    cohorts = Counter(case.cohort or "–" for case in source.outline())
    codings = dict.fromkeys(scheme.describe() for scheme in source.schemes)
    print_(f"  cohorts     {', '.join(f'{name} ({n})' for name, n in sorted(cohorts.items()))}")
    print_(f"  modalities  {', '.join(source.modalities)}")
    print_(f"  labels      {'; '.join(codings)}")
    print_(f"  regions     {', '.join(source.scheme.regions)}")


def _say_repaired(problems: Mapping[str, str], known: set[str]) -> None:
    print_ = console.console.print
    if not problems:
        print_("every prepared case is as it was written")
        return
    print_(f"{counted(len(problems))} made anew:")
    for case, problem in list(problems.items())[:LISTED]:
        changed = problem == Cache.NOT_PREPARED and case in known
        print_(f"    {case}: {'its files have changed' if changed else problem}", markup=False)
    if len(problems) > LISTED:
        print_(f"    … and {len(problems) - LISTED} more")


def _bytes(catalogue: Catalogue) -> float:
    voxels = float(catalogue.shapes.astype(float).prod(1).sum())
    return voxels * (2 * len(catalogue.modalities) + 1)


def _slug(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name).strip("_") or "data"
