"""Several data sets trained on together: one set of regions, each mask in its own coding.

A tissue that one data set's coding lacks is not thereby absent from its images. Where BraTS 2021,
which marks no resection cavity, is joined with BraTS 2024, which does, its unmarked voxels must not
teach a network that there are no cavities. So the joint regions are those that every coding
defines, and a tissue that lies in none of them (here the cavity) is read as background everywhere:
it belongs to no tumour region, so none of these learns anything wrong. Masks are written back in
each case's own coding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lightning_brats.data.case import Case
from lightning_brats.errors import ConfigError, DataError
from lightning_brats.labels import BACKGROUND, ET, NETC, RC, REGIONS, SNFH, TISSUES, LabelScheme

PAINTED: Mapping[str, int] = {
    "WT": SNFH,
    "SNFH": SNFH,
    "TC": NETC,
    "NETC": NETC,
    "ET": ET,
    "RC": RC,
}
"""Region → label of a voxel that lies in it and in no narrower one (`labels_from_regions`)."""


@dataclass(frozen=True)
class Root:
    """One of several data sets.

    Args:
        root: Its folder.
        layout: Overrides the recognised layout.
        labels: Overrides the layout's coding: a name, or file value → internal label.
        cohort: Overrides the recognised cohort.
        prefix: Put before identifiers and patients, where those of two data sets are the same by
            chance.
    """

    root: Path
    layout: str | None = None
    labels: str | Mapping[int, int] | None = None
    cohort: str | None = None
    prefix: str = ""

    @classmethod
    def parse(cls, given: str | Path | Mapping[str, Any]) -> Root:
        """From `data.roots`: a path, or a mapping with `root` and any of the other arguments.

        Raises:
            ConfigError: A mapping has other keys, or no `root`.
        """
        if not isinstance(given, Mapping):
            return cls(Path(given))
        unknown = sorted(set(given) - set(cls.__dataclass_fields__))
        if unknown or not given.get("root"):
            problem = f"unknown keys {unknown}" if unknown else "no 'root'"
            raise ConfigError(
                f"one of data.roots has {problem}: {dict(given)}",
                remedy="give a path, or e.g. {root: /path, layout: nnunet, labels: {1: 2}, "
                "cohort: site A, prefix: a_}",
            )
        return cls(**{**given, "root": Path(given["root"])})

    def adopt(self, case: Case) -> Case:
        """The case with its cohort and, where there is one, its prefix."""
        return replace(
            case,
            case=self.prefix + case.case,
            patient=self.prefix + case.patient,
            cohort=self.cohort or case.cohort or self.root.resolve().name,
        )


def harmonise(
    data_sets: Mapping[str, Sequence[Case]], regions: Sequence[str] | None = None
) -> list[Case]:
    """Cases of several data sets, with the regions that all of them have.

    Args:
        data_sets: Name → cases, all of one coding.
        regions: Regions to train and score; those of every coding when not given.

    Raises:
        ConfigError: There is no joint region, or a given one is not everywhere.
    """
    schemes = {name: cases[0].scheme for name, cases in data_sets.items() if cases}
    joint = tuple(regions) if regions else _shared_regions(schemes)
    for name, scheme in schemes.items():
        lacking = [region for region in joint if region not in scheme.regions]
        if regions and lacking:
            raise ConfigError(
                f"the masks of {name} ({scheme.describe()}) do not tell {', '.join(lacking)}, "
                "which would be learned as background",
                remedy="leave it out of data.regions, or train on the other data alone",
            )
    everywhere = set.intersection(*(set(scheme.codes.values()) for scheme in schemes.values()))
    kept = everywhere | {label for region in joint for label in REGIONS[region]}
    merged: list[Case] = []
    for name, cases in data_sets.items():
        if cases:
            scheme = _restricted(schemes[name], kept, joint)
            merged += [replace(case, scheme=scheme) for case in cases]
    return merged


def joint_scheme(schemes: Sequence[LabelScheme]) -> LabelScheme:
    """One coding that has every label any of them has: the first such one, else the internal one.

    Args:
        schemes: With the same regions.
    """
    if len(schemes) == 1:
        return schemes[0]
    labels = {label for scheme in schemes for label in scheme.codes.values()}
    name = "+".join(dict.fromkeys(scheme.name for scheme in schemes))
    for scheme in schemes:
        if labels <= set(scheme.codes.values()):
            return LabelScheme(name, scheme.codes, scheme.regions)
    return LabelScheme(name, {label: label for label in sorted(labels)}, schemes[0].regions)


def check_writable_regions(schemes: Sequence[LabelScheme]) -> None:
    """Make sure that every mask that can be predicted can be written in each coding.

    Raises:
        ConfigError: One has no value for what a region is painted as.
    """
    for scheme in schemes:
        known = set(scheme.codes.values())
        lacking = [region for region in scheme.regions if PAINTED[region] not in known]
        if lacking:
            tissue = TISSUES[PAINTED[lacking[0]]]
            left = [region for region in scheme.regions if region not in lacking]
            raise ConfigError(
                f"the coding '{scheme.name}' ({scheme.describe()}) has no value for {tissue}, so "
                f"{lacking[0]} could not be written",
                remedy=f"name the regions to learn, data.regions=[{','.join(left)}], "
                "or correct data.labels",
            )


def check_same_tissues(schemes: Sequence[LabelScheme]) -> None:
    """Make sure that one softmax over tissues means the same in every data set.

    Raises:
        ConfigError: Their codings tell different tissues apart.
    """
    tissues = {
        scheme.name: tuple(sorted({TISSUES[v] for v in scheme.codes.values() if v}))
        for scheme in schemes
    }
    if len(set(tissues.values())) > 1:
        told = "; ".join(f"{name}: {', '.join(found)}" for name, found in tissues.items())
        raise ConfigError(
            f"the data sets tell different tissues apart ({told}), so head=labels would learn "
            "contradictions",
            remedy="use head=regions",
        )


def duplicate_remedy(several: bool) -> str:
    """What to do about two cases of one name."""
    if not several:
        return "remove or rename one of them"
    return (
        "if it is one examination, remove it from one data set; if not, keep them apart by a "
        "prefix, data.roots=[/a,{root: /b, prefix: b_}]"
    )


def _shared_regions(schemes: Mapping[str, LabelScheme]) -> tuple[str, ...]:
    first, *others = schemes.values()
    joint = tuple(r for r in first.regions if all(r in other.regions for other in others))
    if not joint:
        told = "; ".join(f"{name}: {', '.join(s.regions)}" for name, s in schemes.items())
        raise DataError(
            f"the data sets have no region in common ({told})",
            remedy="train on them one by one, or correct data.labels",
        )
    return joint


def _restricted(scheme: LabelScheme, kept: set[int], regions: tuple[str, ...]) -> LabelScheme:
    codes = {v: label if label in kept else BACKGROUND for v, label in scheme.codes.items()}
    return LabelScheme(scheme.name, codes, regions)
