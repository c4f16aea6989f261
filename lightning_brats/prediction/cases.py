"""The cases of a folder or table: found, read ahead, and left out where they are bad."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from lightning_brats.data.case import Case
from lightning_brats.data.index import detect_layout, index_dataset
from lightning_brats.data.layouts.folders import ANY_NAMES
from lightning_brats.data.preprocess import Prepared
from lightning_brats.data.table import index_table
from lightning_brats.errors import ConfigError, DataError
from lightning_brats.labels import LabelScheme
from lightning_brats.prediction.models import Model


class BadCases:
    """What happens when a case cannot be segmented.

    Args:
        policy: `error` stops, `skip` goes on with the next case.

    Raises:
        ConfigError: There is no such policy.
    """

    def __init__(self, policy: str) -> None:
        if policy not in ("error", "skip"):
            raise ConfigError(f"on_bad_case={policy}: choose error or skip")
        self.skips = policy == "skip"
        self.skipped: list[DataError] = []

    @contextmanager
    def guard(self, case: Case) -> Iterator[None]:
        """Run what concerns one case; its errors name it."""
        try:
            yield
        except (DataError, OSError) as error:
            named = _named(error, case, self.skips)
            if not self.skips:
                raise named from error
            self.skipped.append(named)
            print(f"  skipped  {case.case}", flush=True)

    def report(self) -> None:
        """List the skipped cases and what is wrong with them."""
        if self.skipped:
            print(f"{len(self.skipped)} cases were skipped:")
            print("\n".join(str(error) for error in self.skipped), flush=True)


def find_cases(
    model: Model,
    source: Path,
    layout: str | None,
    bad: BadCases,
    patterns: Mapping[str, str] | None = None,
    keep_masks: bool = False,
) -> list[Case]:
    """Cases to segment, with the network's modalities; masks, where there are any, are ignored.

    Args:
        model: Tells modalities and, where the input's own coding will not do, the masks' coding.
        source: A data set's folder, a case's folder, one with DICOM series, or a table.
        layout: Overrides the recognised layout.
        bad: Takes the cases that lack a modality, unless the network was trained for that.
        patterns: Modality → what its DICOM series, or its NIfTI file, is called.
        keep_masks: Whether cases keep theirs, where the network's labels have values in its coding.

    Raises:
        DataError: The input cannot be read.
    """
    trained = model.scheme
    if source.suffix in (".csv", ".json"):
        codes = dict(trained.codes)
        found = index_table(
            source,
            codes,
            model.modalities,
            trained.regions,
            require_masks=False,
            missing_ok=model.tolerates_missing,
        )
    elif patterns or _holds_dicom(source):
        found = _examined(model, source, bad, patterns)
    else:
        # Folders of any name have no coding of their own; there are no masks to be read with it.
        plain = layout is None and detect_layout(source) == ANY_NAMES
        found = index_dataset(source, layout, trained if plain else None, require_masks=False)
    cases = []
    for case in found:
        with bad.guard(case):
            chosen = case.with_modalities(_wanted(model, case))
            coding = _coding(case.scheme, trained)
            mask = case.mask if keep_masks and coding == case.scheme else None
            chosen = replace(chosen, mask=mask, scheme=coding)
            model.preprocess.check(chosen)
            cases.append(chosen)
    return cases


def _wanted(model: Model, case: Case) -> Sequence[str]:
    """The network's modalities; only those there are, where it was trained for that."""
    there = [modality for modality in model.modalities if modality in case.images]
    return there if there and model.tolerates_missing else model.modalities


def _holds_dicom(source: Path) -> bool:
    # Here, because SimpleITK is not needed by those who have NIfTI.
    from lightning_brats.data.raw.dicom import holds_dicom

    return source.is_dir() and holds_dicom(source)


def _examined(
    model: Model, source: Path, bad: BadCases, patterns: Mapping[str, str] | None
) -> list[Case]:
    """Cases whose modalities are recognised by what their series are called."""
    from lightning_brats.data.raw.series import find_examinations

    if not source.is_dir():
        raise DataError("folder not found", file=source, remedy="correct the path (input=/path)")
    cases = []
    for examination in find_examinations(source):
        with bad.guard(Case(examination.name, examination.name, {}, model.scheme)):
            case = examination.case(
                model.modalities, model.scheme, patterns, model.tolerates_missing
            )
            cases.append(case)
    return cases


def read_ahead(
    cases: Sequence[Case], prepare: Callable[[Case], list[Prepared]]
) -> Iterator[tuple[Case, Future[list[Prepared]]]]:
    """Each case and its volumes; one case is read while another is segmented."""
    with ThreadPoolExecutor(1) as reader:
        coming: deque[tuple[Case, Future[list[Prepared]]]] = deque()
        for case in cases:
            coming.append((case, reader.submit(prepare, case)))
            if len(coming) > 1:
                yield coming.popleft()
        yield from coming


def _coding(own: LabelScheme, trained: LabelScheme) -> LabelScheme:
    """The input's own coding, unless it has no value for a label that the network knows."""
    return own if set(trained.codes.values()) <= set(own.codes.values()) else trained


def _named(error: DataError | OSError, case: Case, skips: bool) -> DataError:
    """The error with the case's name and, where it stops the rest, the way round it."""
    if isinstance(error, OSError):
        return DataError(str(error), case=case.case, remedy="check the output folder and its disk")
    ways = [error.remedy, None if skips else "to go on without it: on_bad_case=skip"]
    return DataError(
        error.problem,
        case=case.case,
        file=error.file or next(iter(case.files), None),
        remedy="; ".join(way for way in ways if way) or None,
    )
