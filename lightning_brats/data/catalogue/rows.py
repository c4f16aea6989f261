"""The rows of a catalogue: what is kept of a prepared case, and the case made from it again."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from lightning_brats.data.case import Case, ImageRef
from lightning_brats.data.catalogue.trust import watched
from lightning_brats.data.exclusion import describe
from lightning_brats.data.geometry import Geometry
from lightning_brats.data.tumour_size import stored_tumour_ml
from lightning_brats.errors import DataError
from lightning_brats.labels import LabelScheme

KEY = b"lightning_brats"
"""Of what the table's schema says about the whole data set."""

SCHEMA = pa.schema(
    [
        ("case", pa.string()),
        ("patient", pa.string()),
        ("cohort", pa.string()),
        ("grade", pa.string()),
        ("synthetic", pa.bool_()),
        ("origins", pa.int32()),
        ("scheme", pa.int16()),
        ("root", pa.int16()),
        ("images", pa.list_(pa.string())),
        ("channels", pa.list_(pa.int16())),
        ("mask", pa.string()),
        ("brain", pa.string()),
        ("sizes", pa.list_(pa.int64())),
        ("times", pa.list_(pa.int64())),
        ("entry", pa.string()),
        ("shape", pa.list_(pa.int32(), 3)),
        ("file_shape", pa.list_(pa.int32(), 3)),
        ("spacing", pa.list_(pa.float64(), 3)),
        ("voxels", pa.list_(pa.int64())),
        ("tumour_ml", pa.float64()),
        ("warnings", pa.list_(pa.string())),
        ("fingerprint", pa.string()),
    ]
)
CASE = SCHEMA.names[: SCHEMA.names.index("brain") + 1]
"""Columns that a `Case` is made of."""


KEPT = (
    "entry",
    "shape",
    "file_shape",
    "spacing",
    "voxels",
    "tumour_ml",
    "warnings",
    "fingerprint",
)
"""Columns that are facts as they are."""


class Facts(NamedTuple):
    """What a catalogue keeps of a prepared case: little, because there may be very many.

    Args:
        entry: Name of its folder in the cache.
        sources: Size in bytes and time in ns of each of the case's files, in their order.
        shape: (x, y, z) of the prepared volume.
        file_shape: (X, Y, Z) of the files.
        spacing: In mm, of the prepared volume.
        voxels: Of each label from 1 on, in the prepared volume; `None` without a mask.
        tumour_ml: Everything labelled in the mask's own file; `None` without one.
        warnings: About the case.
        fingerprint: Modality → perceptual fingerprint, as JSON.
    """

    entry: str
    sources: Sequence[tuple[int, int]]
    shape: tuple[int, ...]
    file_shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    voxels: tuple[int, ...] | None
    tumour_ml: float | None
    warnings: tuple[str, ...]
    fingerprint: str

    @classmethod
    def of(cls, entry: str, sources: Sequence[tuple[int, int]], meta: Mapping[str, Any]) -> Facts:
        """From an entry's meta data."""
        geometry = Geometry.from_dict(meta["geometry"])
        voxels = meta["voxels"]
        return cls(
            entry=entry,
            sources=tuple(sources),
            shape=tuple(meta["shape"]),
            file_shape=geometry.shape,
            spacing=geometry.spacing,
            voxels=None if voxels is None else tuple(voxels),
            tumour_ml=stored_tumour_ml(meta, geometry.spacing),
            warnings=tuple(meta["warnings"]),
            fingerprint=json.dumps(meta["statistics"]["fingerprint"]),
        )


class Description(NamedTuple):
    """What a catalogue knows of its data set.

    Args:
        name: Shown in reports.
        roots: Folders or tables of the cases.
        phantom: Whether the cases are made, not measured.
        excluded: Cases left out, and why.
    """

    name: str
    roots: Sequence[Path]
    phantom: bool = False
    excluded: Sequence[DataError] = ()


def to_table(about: Description, cases: Sequence[Case], facts: Sequence[Facts]) -> pa.Table:
    """A row a case, sorted by identifier.

    Args:
        about: The data set.
        cases: At least one, all with the same modalities.
        facts: Of each of them.
    """
    roots = [str(root) for root in about.roots]
    schemes: dict[int, int] = {}
    distinct: list[LabelScheme] = []
    origins: dict[tuple[str, ...], int] = {(): 0}
    columns: dict[str, list] = {name: [] for name in SCHEMA.names}
    for i in sorted(range(len(cases)), key=lambda i: cases[i].case):
        scheme = cases[i].scheme
        if id(scheme) not in schemes:
            if scheme not in distinct:
                distinct.append(scheme)
            schemes[id(scheme)] = distinct.index(scheme)
        counted = {
            "scheme": schemes[id(scheme)],
            "origins": origins.setdefault(cases[i].origins, len(origins)),
        }
        row = _row(cases[i], facts[i], roots) | counted
        for name, value in row.items():
            columns[name].append(value)
    known = {
        "name": about.name,
        "roots": roots,
        "phantom": about.phantom,
        "excluded": describe(about.excluded),
        "modalities": list(cases[0].images),
        "schemes": [
            {
                "name": s.name,
                "codes": {v: k for v, k in s.codes.items()},
                "regions": list(s.regions),
            }
            for s in distinct
        ],
        "origins": list(origins),
        "watched": watched(cases, about.roots, about.excluded),
    }
    return pa.table(columns, schema=SCHEMA.with_metadata({KEY: json.dumps(known)}))


def to_case(
    value: Mapping[str, Any],
    modalities: Sequence[str],
    schemes: Sequence[LabelScheme],
    roots: Sequence[str],
    origins: Sequence[tuple[str, ...]],
) -> Case:
    """The case of a row.

    Args:
        value: The columns `CASE`.
        modalities: Of the data set.
        schemes: That rows count.
        roots: That rows count.
        origins: That rows count.
    """
    root = roots[value["root"]] if value["root"] >= 0 else ""
    refs = zip(modalities, value["images"], value["channels"], strict=True)
    mask, brain = value["mask"], value["brain"]
    return Case(
        case=value["case"],
        patient=value["patient"],
        images={m: ImageRef(Path(os.path.join(root, p)), channel) for m, p, channel in refs},
        scheme=schemes[value["scheme"]],
        mask=None if mask is None else Path(os.path.join(root, mask)),
        brain=None if brain is None else Path(os.path.join(root, brain)),
        cohort=value["cohort"],
        grade=value["grade"],
        synthetic=value["synthetic"],
        origins=origins[value["origins"]],
    )


def _row(case: Case, facts: Facts, roots: Sequence[str]) -> dict[str, Any]:
    first = str(next(iter(case.images.values())).path)
    inside = [i for i, root in enumerate(roots) if first.startswith(root + os.sep)]
    root = max(inside, key=lambda i: len(roots[i]), default=-1)  # the innermost
    start = roots[root] if inside else ""
    return {
        "case": case.case,
        "patient": case.patient,
        "cohort": case.cohort,
        "grade": case.grade,
        "synthetic": case.synthetic,
        "root": root,
        "images": [_relative(ref.path, start) for ref in case.images.values()],
        "channels": [ref.channel for ref in case.images.values()],
        "mask": None if case.mask is None else _relative(case.mask, start),
        "brain": None if case.brain is None else _relative(case.brain, start),
        "sizes": [size for size, _ in facts.sources],
        "times": [time for _, time in facts.sources],
        **{name: getattr(facts, name) for name in KEPT},
    }


def _relative(path: Path, root: str) -> str:
    text = str(path)
    return text[len(root) + 1 :] if root and text.startswith(root + os.sep) else text
