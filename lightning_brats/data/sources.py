"""Where cases come from: BraTS folders, a table, or the embedded phantom."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lightning_brats.data.case import Case
from lightning_brats.data.catalogue import Catalogue
from lightning_brats.data.cohorts import (
    Root,
    check_writable_regions,
    duplicate_remedy,
    harmonise,
    joint_scheme,
)
from lightning_brats.data.exclusion import SETTING, BadCases, none_left
from lightning_brats.data.index import index_dataset, unique_cases
from lightning_brats.data.table import index_table
from lightning_brats.errors import ConfigError, DataError
from lightning_brats.labels import MODALITIES, SCHEMES, LabelScheme, named_scheme


@dataclass(frozen=True)
class CaseSource:
    """Cases that are trained on together.

    Args:
        name: Shown in reports.
        cases: All cases, each with the same modalities in the same order.
        phantom: Whether they are made, not measured.
        excluded: Cases that are left out, and why.
        roots: Folders or tables they were found in.
        catalogue: What is known of them prepared; then `cases` are the catalogue's.
    """

    name: str
    cases: Sequence[Case]
    phantom: bool = False
    excluded: tuple[DataError, ...] = ()
    roots: tuple[Path, ...] = ()
    catalogue: Catalogue | None = None

    @property
    def modalities(self) -> tuple[str, ...]:
        """Channel order of the network's input."""
        return tuple(self.cases[0].images)

    @property
    def schemes(self) -> tuple[LabelScheme, ...]:
        """The codings of the masks, of each data set its own."""
        if self.catalogue is not None:
            return self.catalogue.schemes
        distinct = {id(case.scheme): case.scheme for case in self.cases}
        return tuple(
            {(s.name, tuple(s.codes.items()), s.regions): s for s in distinct.values()}.values()
        )

    @property
    def scheme(self) -> LabelScheme:
        """One coding for all: the regions are those that are learned."""
        return joint_scheme(self.schemes)

    def outline(self) -> Sequence[Case]:
        """The cases without their files, which is all that a split needs to know."""
        return self.cases if self.catalogue is None else self.catalogue.outline()


def load_cases(
    root: str | Path | None = None,
    roots: Sequence[str | Path | Mapping[str, Any]] | None = None,
    layout: str | None = None,
    labels: str | Mapping[int, int] | None = None,
    modalities: Sequence[str] | None = None,
    regions: Sequence[str] | None = None,
    phantom: Mapping[str, Any] | None = None,
    require_masks: bool = True,
    on_bad_case: str = "error",
) -> CaseSource:
    """Cases of one data set or several, layouts recognised, or of the embedded phantom.

    Several data sets get the regions that all of them have, see `lightning_brats.data.cohorts`. A
    patient identifier that occurs in two of them is the same patient.

    Args:
        root: The folder; `None` makes (once) and uses the phantom, unless `roots` are given.
        roots: Several folders, instead of `root`: paths, or mappings (see `cohorts.Root`).
        layout: Overrides the recognised layout.
        labels: Name of a coding (`lightning_brats.labels.SCHEMES`) or file value → internal label,
            where it is not the layout's.
        modalities: Channels and their order; the four of BraTS, or all there are.
        regions: Regions to train and score, where not the coding's.
        phantom: Arguments of `lightning_brats.data.phantom.write_phantom`; with `cohorts`, one data
            set each (see `lightning_brats.data.phantom.of_cohorts`).
        require_masks: Whether a case without a mask is an error.
        on_bad_case: `error`, or `skip` to leave out and list cases that cannot be used.

    Raises:
        DataError: A folder cannot be used as it is.
        ConfigError: The coding is unknown, or the data sets do not go together.
    """
    bad = BadCases(on_bad_case, SETTING)
    named = [Root.parse(one) for one in roots or ()]
    if root is not None and named:
        remedy = "name all of them in data.roots"
        raise ConfigError("data.root and data.roots are both given", remedy=remedy)
    name = " + ".join(one.root.resolve().name for one in named)
    if root is not None:
        named, name = [Root(Path(root))], Path(root).resolve().name
    made = not named
    if made:
        named, name = _phantom(dict(phantom or {}))
    data_sets: dict[str, list[Case]] = {}
    for one in named:
        scheme = _scheme(one.labels or labels, regions if len(named) == 1 else None)
        found = index_dataset(one.root, one.layout or layout, scheme, require_masks, bad)
        if regions and scheme is None and len(named) == 1:
            found = _with_regions(found, regions)
        several = len(named) > 1 or one.cohort is not None
        data_sets[str(one.root)] = [one.adopt(case) for case in found] if several else found
    cases = [case for found in data_sets.values() for case in found]
    if not cases:
        raise none_left(bad.excluded)
    if len(named) > 1:
        cases = unique_cases(harmonise(data_sets, regions), bad, duplicate_remedy(several=True))
    chosen = _with_modalities(cases, modalities or _shared_modalities(cases), bad)
    paths = tuple(Path(os.path.abspath(one.root.expanduser())) for one in named)
    source = CaseSource(name, chosen, made, tuple(bad.excluded), paths)
    if require_masks:
        check_writable_regions(source.schemes)
    return source


def load_table(
    table: str | Path | None,
    labels: Mapping[int, int] | None,
    modalities: Sequence[str],
    regions: Sequence[str] | None = None,
    require_masks: bool = True,
    on_bad_case: str = "error",
) -> CaseSource:
    """Cases of a CSV or JSON table: case, patient, one column a modality, mask, brain.

    Args:
        table: The file; relative paths in it are relative to its folder.
        labels: File value → internal label; BraTS 2023's (1, 2, 3) when not given.
        modalities: Columns that are channels, in order.
        regions: Regions to train and score; WT, TC and ET when not given.
        require_masks: Whether a case without a mask is an error.
        on_bad_case: `error`, or `skip` to leave out and list cases that cannot be used.

    Raises:
        DataError: The table cannot be used as it is.
        ConfigError: No table is named.
    """
    if table is None:
        raise ConfigError("no table is named", remedy="data=table data.table=/path/cases.csv")
    bad = BadCases(on_bad_case, SETTING)
    codes = {int(value): int(label) for value, label in labels.items()} if labels else None
    cases = index_table(Path(table), codes, modalities, regions, require_masks, bad)
    if not cases:
        raise none_left(bad.excluded)
    path = Path(os.path.abspath(Path(table).expanduser()))
    source = CaseSource(path.stem, tuple(cases), False, tuple(bad.excluded), (path,))
    if require_masks:
        check_writable_regions(source.schemes)
    return source


def _phantom(arguments: dict[str, Any]) -> tuple[list[Root], str]:
    """Make the phantom, where it is not there yet: its folders and name."""
    # Here, because it loads the anatomy and is not needed by those who have data.
    from lightning_brats.data.phantom import default_root, of_cohorts, write_phantom

    cohorts = arguments.pop("cohorts", None)
    about = f"{arguments.get('layout', 'brats2021')}, {arguments.get('spacing', 2.0):g} mm"
    if cohorts is None:
        root = write_phantom(default_root(**arguments), **arguments)
        return [Root(root)], f"phantom ({about})"
    roots = [
        Root(write_phantom(default_root(**own), **own), cohort=name, prefix=f"{name}_")
        for name, own in of_cohorts(arguments, cohorts).items()
    ]
    return roots, f"phantom ({about}; cohorts {', '.join(str(one.cohort) for one in roots)})"


def _scheme(
    labels: str | Mapping[int, int] | None, regions: Sequence[str] | None
) -> LabelScheme | None:
    if labels is None:
        return None
    if isinstance(labels, str):
        found = named_scheme(labels)
        if found is None:
            raise ConfigError(
                f"the label coding '{labels}' is unknown",
                remedy=f"data.labels is one of {', '.join(SCHEMES)}, or a map like {{1:1,2:2,4:3}}",
            )
        return LabelScheme(found.name, found.codes, tuple(regions or found.regions))
    try:
        codes = {int(value): int(label) for value, label in labels.items()}
        return LabelScheme("custom", codes, tuple(regions or ("WT", "TC", "ET")))
    except ValueError as error:
        remedy = "data.labels maps file values to 0 bg, 1 NETC, 2 SNFH, 3 ET, 4 RC"
        raise ConfigError(str(error), remedy=remedy) from error


def _with_regions(cases: Sequence[Case], regions: Sequence[str]) -> list[Case]:
    if not cases:
        return []
    scheme = cases[0].scheme
    changed = LabelScheme(scheme.name, scheme.codes, tuple(regions))
    return [replace(case, scheme=changed) for case in cases]


def _with_modalities(cases: Sequence[Case], wanted: Sequence[str], bad: BadCases) -> list[Case]:
    chosen = []
    for case in cases:
        if tuple(case.images) == tuple(wanted):
            chosen.append(case)
            continue
        try:
            chosen.append(case.with_modalities(wanted))
        except DataError as error:
            bad.add(error)
    if not chosen:
        raise none_left(bad.excluded)
    return chosen


def _shared_modalities(cases: Sequence[Case]) -> tuple[str, ...]:
    """BraTS' four where any case has one of them, else what the first case has."""
    found = set().union(*(case.images for case in cases))
    return MODALITIES if found <= set(MODALITIES) else tuple(cases[0].images)
