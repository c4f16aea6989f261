"""From files of any names to a case: what each volume is, and a clean copy of it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from lightning_brats.app.archives import shown
from lightning_brats.app.volumes import read_header, read_volume, save_volume
from lightning_brats.data.case import Case, ImageRef
from lightning_brats.data.index import detect_layout, index_dataset
from lightning_brats.data.layouts.files import IGNORED, stem
from lightning_brats.data.layouts.folders import ANY_NAMES
from lightning_brats.data.layouts.names import file_role
from lightning_brats.data.raw.series import modality_of_series
from lightning_brats.errors import BratsError, DataError
from lightning_brats.labels import MODALITIES, SCHEMES, LabelScheme

MASK = "mask"
NAME = "case"
"""Of every case: no name that was given goes into an output."""
STACKED = ("t2f", "t1n", "t1c", "t2w")
"""Channels of the one public data set with 4-D files, the Decathlon's."""
MISLEADING = (
    BratsError,
    ValueError,
    TypeError,
    AttributeError,
    KeyError,
    RecursionError,
    OSError,
    csv.Error,
)
"""What a damaged description of a data set raises; the names of the files are then looked at."""


@dataclass(frozen=True)
class Scan:
    """A volume that was given.

    Args:
        path: Its file.
        channel: Of a 4-D file.
        role: Modality or `mask` by its name; `None` where that tells nothing.
        name: As its owner knows it.
    """

    path: Path
    channel: int | None
    role: str | None
    name: str

    @property
    def title(self) -> str:
        """The name, and which channel of it."""
        return self.name if self.channel is None else f"{self.name} [{self.channel}]"


@dataclass(frozen=True)
class Given:
    """The volumes of one case.

    Args:
        name: Of the case, as its owner knows it.
        scans: Its volumes.
        scheme: Coding of the mask that the layout names; `None` where it names none.
    """

    name: str
    scans: tuple[Scan, ...]
    scheme: LabelScheme | None = None


def recognise(folder: Path) -> list[Given]:
    """The cases in a folder: by its layout where it has one, else all its files as one case.

    Raises:
        DataError: It holds no NIfTI file, or one with an impossible header.
    """
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and stem(path.name) is not None and not path.name.startswith(IGNORED)
    ]
    if not files:
        raise DataError(
            "no NIfTI file was found", remedy="give .nii or .nii.gz files, or a zip of them"
        )
    cases, scheme = _indexed(folder)
    if len(cases) > 1:
        return [
            Given(case.case, tuple(_scans_of(case)), case.scheme if scheme is None else None)
            for case in cases
        ]
    known = list(_scans_of(cases[0])) if cases else []
    others = [path for path in files if path not in {scan.path for scan in known}]
    scans = [*known, *chain.from_iterable(_guessed(path, known) for path in others)]
    coded = cases[0].scheme if cases and scheme is None else None
    return [Given(cases[0].case if cases else NAME, tuple(scans), coded)]


def roles(scans: Sequence[Scan]) -> list[str | None]:
    """A first proposal: each modality once, for the first volume that claims it."""
    taken: set[str] = set()
    proposed: list[str | None] = []
    for scan in scans:
        free = scan.role is not None and scan.role not in taken
        proposed.append(scan.role if free else None)
        taken |= {scan.role} if scan.role else set()
    return proposed


def adopt(chosen: Mapping[str, Scan], scheme: LabelScheme, folder: Path) -> Case:
    """Make a case of the volumes: checked, without names or free text, on disk uncompressed.

    Args:
        chosen: Modality, or `mask` → its volume.
        scheme: Coding of masks, of the one given and the one to be made.
        folder: Where the copies go; exists.

    Raises:
        DataError: A file cannot be used; no modality was chosen.
    """
    if not set(chosen) - {MASK}:
        raise DataError("no volume is a modality", remedy="say what the volumes are")
    paths: dict[str, Path] = {}
    for path in dict.fromkeys(scan.path for scan in chosen.values()):
        own = {role: scan for role, scan in chosen.items() if scan.path == path}
        name = next(iter(own.values())).name
        try:
            data, header = read_volume(path)
            for role, scan in own.items():
                paths[role] = folder / f"{role}.nii"
                save_volume(paths[role], _channel(data, scan), header.affine)
        except DataError as error:
            raise DataError(f"{shown(name)}: {error.problem}", remedy=error.remedy) from error
    mask = paths.pop(MASK, None)
    images = {name: ImageRef(paths[name]) for name in MODALITIES if name in paths}
    return Case(NAME, NAME, images, scheme, mask=mask)


def coding_of(*scans: Scan) -> LabelScheme:
    """The release whose coding masks of unknown origin most likely have, by all their values.

    Raises:
        DataError: A file cannot be read.
    """
    three = four = False
    for scan in scans:
        values = _channel(read_volume(scan.path)[0], scan)
        three, four = three or bool((values == 3).any()), four or bool((values == 4).any())
    if four:
        return SCHEMES["brats2024" if three else "brats2018"]
    return SCHEMES["brats2023"]


def _indexed(folder: Path) -> tuple[list[Case], LabelScheme | None]:
    """Cases of a known layout, none else; and a coding that stands for one that is not known."""
    try:
        unknown = SCHEMES["brats2023"] if detect_layout(folder) == ANY_NAMES else None
        return index_dataset(folder, labels=unknown, require_masks=False), unknown
    except MISLEADING:
        return [], None


def _scans_of(case: Case) -> Iterable[Scan]:
    for modality, ref in case.images.items():
        yield Scan(ref.path, ref.channel, modality, ref.path.name)
    if case.mask is not None:
        yield Scan(case.mask, None, MASK, case.mask.name)


def _guessed(path: Path, known: Sequence[Scan]) -> list[Scan]:
    """A file's volumes, and what its name says of them; what is known already goes first."""
    taken = {scan.role for scan in known}
    try:
        channels = read_header(path).channels
    except DataError as error:
        raise DataError(f"{shown(path.name)}: {error.problem}", remedy=error.remedy) from error
    if channels > 1:
        names = STACKED if channels == len(STACKED) and not taken else [None] * channels
        return [Scan(path, number, role, path.name) for number, role in enumerate(names)]
    own = str(stem(path.name))
    role = file_role(own) or modality_of_series(own)
    return [Scan(path, None, None if role in taken else role, path.name)]


def _channel(data: np.ndarray, scan: Scan) -> np.ndarray:
    if data.ndim == 3:
        return data
    if scan.channel is None or scan.channel >= data.shape[3]:
        raise DataError(
            f"the file has {data.shape[3]} channels", remedy="say which modality each is"
        )
    return data[..., scan.channel]
