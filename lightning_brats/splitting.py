"""Which split a run uses: the one that is given, or one drawn from the prepared cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from lightning_brats.data.case import Case
from lightning_brats.data.duplicates import Twin
from lightning_brats.data.sources import CaseSource
from lightning_brats.data.splits import PARTS, Split, check_split, make_split
from lightning_brats.errors import ConfigError, DataError


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


def without_excluded(split: Split, excluded: Sequence[DataError], resumed: bool) -> Split:
    """A given split without the cases that are left out.

    Args:
        split: The given one.
        excluded: Cases left out of the data, and why.
        resumed: Whether a run goes on with it, whose cases must stay what they were.

    Raises:
        DataError: A run goes on, and one of its cases is left out.
    """
    gone = {error.case: error for error in excluded if error.case}
    hit = [name for part in PARTS for name in getattr(split, part) if name in gone]
    if hit and resumed:
        error = gone[hit[0]]
        raise DataError(
            f"the run began with this case, which cannot be used any more: {error.problem}",
            case=hit[0],
            file=error.file,
            remedy="restore it, or start anew without resume",
        )
    left: dict[str, Any] = {
        part: tuple(name for name in getattr(split, part) if name not in gone) for part in PARTS
    }
    return replace(split, **left) if hit else split


def check_drawable(cfg: DictConfig, source: CaseSource) -> None:
    """Refuse a split that cannot be drawn now, not after the hour that preparing may take.

    Raises:
        DataError: There are too few patients.
        ConfigError: Shares or folds that cannot be.
    """
    # Not the draw to come, which goes by tumour sizes too, so nothing is said of synthetic cases.
    _draw(cfg, [case for case in source.outline() if not case.synthetic])()


def drawn_split(cfg: DictConfig, source: CaseSource) -> Split:
    """A split stratified by tumour size too, near-identical cases on one side.

    Args:
        cfg: Says how it is drawn.
        source: Prepared cases.

    Raises:
        DataError: There are too few patients.
        ConfigError: Shares or folds that cannot be.
    """
    assert source.catalogue is not None
    return _draw(cfg, source.outline())(sizes=source.catalogue.volumes(), twins=_twins(cfg, source))


def check_given(cfg: DictConfig, source: CaseSource, split: Split) -> Split:
    """Refuse a given split that parts near-identical cases.

    Args:
        cfg: Says whether they may be.
        source: Prepared cases.
        split: The given one.

    Returns:
        The same split with every case's patient, which its file need not say.

    Raises:
        DataError: It does, or see `check_split`.
    """
    outline = source.outline()
    check_split(split, outline, _twins(cfg, source))
    patients = {case.case: case.patient for case in outline}
    return replace(split, patients={**split.patients, **patients})


def _twins(cfg: DictConfig, source: CaseSource) -> Sequence[Twin]:
    if cfg.split.duplicates not in ("join", "ignore"):
        raise ConfigError(
            f"split.duplicates={cfg.split.duplicates} is unknown", remedy="choose join or ignore"
        )
    if source.catalogue is None or cfg.split.duplicates == "ignore":
        return ()
    return source.catalogue.twins


def _draw(cfg: DictConfig, cases: Sequence[Case]) -> Callable[..., Split]:
    cohorts = cfg.split.get("test_cohorts")
    return partial(
        make_split,
        cases,
        seed=cfg.split.seed,
        validation=cfg.split.validation,
        test=cfg.split.test,
        fold=cfg.fold,
        folds=cfg.folds,
        test_cohorts=[cohorts] if isinstance(cohorts, str) else list(cohorts or ()),
    )
