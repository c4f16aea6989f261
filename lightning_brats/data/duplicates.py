"""The same examination under two names: found by fingerprints, kept on one side of every split.

Data sets repeat each other's cases under new identifiers. Where such a pair lies in training and
test, the test score is partly a score on training data, and no identifier tells.

Searching 100,000 cases of four modalities takes 45 s of one core and 110 MB.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from scipy.cluster.hierarchy import DisjointSet

from lightning_brats.data.near_pairs import Group, near_pairs

NEAR = 0.95
"""Correlation of fingerprints from which cases of two patients are taken for one examination.

Measured on 80 phantom patients at 2 mm and four real ones: two patients reach 0.74 (phantoms, which
all come from one brain) and 0.40 (real). A copy that was rescaled, given noise of a fifth of its
standard deviation, moved by half a voxel, resampled by 0.8 or turned by 2° keeps 0.99; one whose
brain mask lost its outermost 2 mm keeps 0.95.
"""
SAME = 0.999
"""From which two cases of one patient are the same images, not a later examination."""


class Twin(NamedTuple):
    """Two cases whose images are near-identical.

    Args:
        first: Case, in the order given.
        second: Another one.
        likeness: Correlation of their fingerprints.
        mirrored: Whether one had to be mirrored to see it: the orientation of one is wrong.
        same_patient: Whether both are known to be one patient's.
    """

    first: str
    second: str
    likeness: float
    mirrored: bool = False
    same_patient: bool = False


def find_duplicates(
    ids: Sequence[str],
    patients: Sequence[str],
    fingerprints: Sequence[Mapping[str, str]],
) -> list[Twin]:
    """Cases of different patients that are near-identical, and the same images of one patient.

    Of a group of copies just enough pairs are given to connect it: four copies are three pairs.
    Cases are compared by the modalities they share.

    Args:
        ids: N identifiers.
        patients: N patients.
        fingerprints: N times modality → code, see `lightning_brats.data.likeness`. Cases with none
            are left out.

    Returns:
        Pairs, most alike first.

    Raises:
        DataError: A fingerprint cannot be read.
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    for place, codes in enumerate(fingerprints):
        groups.setdefault(tuple(sorted(codes)), []).append(place)
    found: list[tuple[int, int, float, bool]] = []
    modality_sets = [modalities for modalities in groups if modalities]
    for number, one in enumerate(modality_sets):
        for other in modality_sets[number:]:
            shared = [modality for modality in one if modality in other]
            if shared:
                left = Group(groups[one], shared, ids, fingerprints)
                right = left if one is other else Group(groups[other], shared, ids, fingerprints)
                found += near_pairs(left, right, NEAR)
    return _spanning(found, ids, patients)


def twin_groups(twins: Iterable[Twin]) -> list[list[str]]:
    """The cases that pairs connect, each group sorted, the groups by their first case."""
    sets: DisjointSet = DisjointSet()
    for twin in twins:
        sets.add(twin.first)
        sets.add(twin.second)
        sets.merge(twin.first, twin.second)
    return sorted(sorted(group) for group in sets.subsets())


def joined_patients(patients: Mapping[str, str], twins: Iterable[Twin]) -> dict[str, str]:
    """Case → patient, where patients that share an examination are one.

    Args:
        patients: Case → patient.
        twins: Pairs; they may name further cases.

    Returns:
        The joined patients have the name that comes first.
    """
    sets = DisjointSet(set(patients.values()))
    for group in twin_groups(twins):
        known = [patients[case] for case in group if case in patients]
        for patient in known[1:]:
            sets.merge(known[0], patient)
    name: dict[str, str] = {}
    for patient in sorted(set(patients.values())):
        name.setdefault(sets[patient], patient)
    return {case: name[sets[patient]] for case, patient in patients.items()}


def _spanning(
    pairs: list[tuple[int, int, float, bool]], ids: Sequence[str], patients: Sequence[str]
) -> list[Twin]:
    """Pairs enough to connect each group, most alike first."""
    sets = DisjointSet(range(len(ids)))
    twins = []
    for a, b, value, mirrored in sorted(pairs, key=lambda p: (-p[2], min(p[:2]), max(p[:2]))):
        same = patients[a] == patients[b]
        if (not same or value >= SAME) and sets.merge(a, b):
            first, second = ids[min(a, b)], ids[max(a, b)]
            twins.append(Twin(first, second, round(value, 4), mirrored, same))
    return twins
