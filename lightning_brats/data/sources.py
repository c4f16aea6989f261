"""Where cases come from: a BraTS folder, a table, or the embedded phantom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lightning_brats.data.case import Case
from lightning_brats.data.index import index_dataset
from lightning_brats.data.table import index_table
from lightning_brats.errors import ConfigError
from lightning_brats.labels import MODALITIES, SCHEMES, LabelScheme, named_scheme


@dataclass(frozen=True)
class CaseSource:
    """Cases that are trained on together.

    Args:
        name: Shown in reports.
        cases: All cases, each with the same modalities in the same order.
        phantom: Whether they are made, not measured.
    """

    name: str
    cases: tuple[Case, ...]
    phantom: bool = False

    @property
    def modalities(self) -> tuple[str, ...]:
        """Channel order of the network's input."""
        return tuple(self.cases[0].images)

    @property
    def scheme(self) -> LabelScheme:
        """Coding of the masks; predictions are written in it."""
        return self.cases[0].scheme


def load_cases(
    root: str | Path | None = None,
    layout: str | None = None,
    labels: str | Mapping[int, int] | None = None,
    modalities: Sequence[str] | None = None,
    regions: Sequence[str] | None = None,
    phantom: Mapping[str, Any] | None = None,
    require_masks: bool = True,
) -> CaseSource:
    """Cases of a data set's folder, its layout recognised, or of the embedded phantom.

    Args:
        root: The folder; `None` makes (once) and uses the phantom.
        layout: Overrides the recognised layout.
        labels: Name of a coding (`lightning_brats.labels.SCHEMES`) or file value → internal label,
            where it is not the layout's.
        modalities: Channels and their order; the four of BraTS, or all there are.
        regions: Regions to train and score, where not the coding's.
        phantom: Arguments of `lightning_brats.data.phantom.write_phantom`.
        require_masks: Whether a case without a mask is an error.

    Raises:
        DataError: The folder cannot be used as it is.
        ConfigError: The coding is unknown.
    """
    scheme = _scheme(labels, regions)
    name = None
    if root is None:
        root, name = _phantom(dict(phantom or {}))
    cases = index_dataset(Path(root), layout, scheme, require_masks)
    if regions and scheme is None:
        cases = _with_regions(cases, regions)
    wanted = modalities or _shared_modalities(cases)
    chosen = tuple(case.with_modalities(wanted) for case in cases)
    return CaseSource(name or Path(root).resolve().name, chosen, phantom=name is not None)


def load_table(
    table: str | Path | None,
    labels: Mapping[int, int] | None,
    modalities: Sequence[str],
    regions: Sequence[str] | None = None,
    require_masks: bool = True,
) -> CaseSource:
    """Cases of a CSV or JSON table: case, patient, one column a modality, mask, brain.

    Args:
        table: The file; relative paths in it are relative to its folder.
        labels: File value → internal label; BraTS 2023's (1, 2, 3) when not given.
        modalities: Columns that are channels, in order.
        regions: Regions to train and score; WT, TC and ET when not given.
        require_masks: Whether a case without a mask is an error.

    Raises:
        DataError: The table cannot be used as it is.
        ConfigError: No table is named.
    """
    if table is None:
        raise ConfigError("no table is named", remedy="data=table data.table=/path/cases.csv")
    codes = {int(value): int(label) for value, label in labels.items()} if labels else None
    cases = index_table(Path(table), codes, modalities, regions, require_masks)
    return CaseSource(Path(table).stem, tuple(cases))


def _phantom(arguments: dict[str, Any]) -> tuple[Path, str]:
    """Make the phantom, where it is not there yet: its folder and name."""
    # Here, because it loads the anatomy and is not needed by those who have data.
    from lightning_brats.data.phantom import default_root, write_phantom

    root = write_phantom(default_root(**arguments), **arguments)
    spacing = arguments.get("spacing", 2.0)
    return root, f"phantom ({arguments.get('layout', 'brats2021')}, {spacing:g} mm)"


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
    codes = {int(value): int(label) for value, label in labels.items()}
    return LabelScheme("custom", codes, tuple(regions or ("WT", "TC", "ET")))


def _with_regions(cases: Sequence[Case], regions: Sequence[str]) -> list[Case]:
    scheme = cases[0].scheme
    changed = LabelScheme(scheme.name, scheme.codes, tuple(regions))
    return [replace(case, scheme=changed) for case in cases]


def _shared_modalities(cases: Sequence[Case]) -> tuple[str, ...]:
    """BraTS' four where any case has one of them, else what the first case has."""
    found = set().union(*(case.images for case in cases))
    return MODALITIES if found <= set(MODALITIES) else tuple(cases[0].images)
