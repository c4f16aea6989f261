"""Reference masks: a data set in any layout, or a plain folder of masks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lightning_brats.data.case import Case
from lightning_brats.data.index import index_dataset
from lightning_brats.data.layouts.files import nifti_files, scan, stem
from lightning_brats.data.layouts.names import file_role, patient_of
from lightning_brats.data.synthetic import is_marked
from lightning_brats.errors import ConfigError, DataError
from lightning_brats.evaluation.pairing import MASK_ENDING
from lightning_brats.labels import SCHEMES, LabelScheme, named_scheme


def reference_cases(root: Path, labels: str | Mapping[int, int] | None = None) -> list[Case]:
    """Cases to score against, sorted by identifier.

    Args:
        root: A data set, or a folder with one mask a case (`CASE.nii.gz`, `CASE_seg.nii.gz`).
        labels: Coding of the masks, by name or as file value → internal label. By default the
            data set's own; for a plain folder, that of BraTS 2023 and later.

    Raises:
        DataError: The folder cannot be used as it is, or holds synthetic cases.
        ConfigError: The coding is unknown.
    """
    scheme = None if labels is None else _scheme(labels)
    listing = scan(root)
    stems = [name for name in map(stem, listing.files) if name is not None]
    plain = "dataset.json" not in listing.files and all(
        file_role(name) in (None, "mask") for name in stems
    )
    if not stems or not plain:
        return _real(index_dataset(root, labels=scheme), root)
    masks = nifti_files(root, listing.files, lambda name: MASK_ENDING.sub("", name))
    found = [
        Case(case, patient_of(case), {}, scheme or SCHEMES["brats2023"], mask=path)
        for case, path in sorted(masks.items())
    ]
    return _real(found, root)


def _real(cases: list[Case], root: Path) -> list[Case]:
    made = next((case.case for case in cases if case.synthetic or is_marked(case.case)), None)
    if made is not None:
        raise DataError(
            "it is synthetic, and scores on made-up cases mean nothing",
            case=made,
            file=root,
            remedy="give real references alone",
        )
    return cases


def _scheme(labels: str | Mapping[int, int]) -> LabelScheme:
    if not isinstance(labels, str):
        codes = {int(value): int(label) for value, label in labels.items()}
        return LabelScheme("custom", codes)
    scheme = named_scheme(labels)
    if scheme is None:
        raise ConfigError(
            f"the label coding '{labels}' is unknown",
            remedy=f"labels is one of {', '.join(SCHEMES)}, or a map like {{1:1,2:2,4:3}}",
        )
    return scheme
