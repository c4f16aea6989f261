"""BraTS 2024: lesions of one tissue that touch the same lesion of another tissue become one."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from lightning_brats.metrics.objects import Objects

JOINED_BY: Mapping[str, tuple[str, ...]] = {
    "NETC": ("ET", "RC"),
    "ET": ("NETC", "RC"),
    "RC": ("ET", "NETC"),
    "SNFH": ("ET", "RC", "NETC"),
}
"""Tissue → tissues whose contact joins its lesions, in the order in which they are looked at."""

Contacts = dict[tuple[str, str], list[tuple[int, int]]]


def join_tissues(lesions: Mapping[str, Objects]) -> dict[str, np.ndarray]:
    """New lesion numbers of NETC, ET, RC and SNFH in one volume, as `join` gives them."""
    touching = contacts(lesions)
    return {
        tissue: join(lesions[tissue].count, [touching[tissue, other] for other in others])
        for tissue, others in JOINED_BY.items()
    }


def join(count: int, touching: Sequence[Sequence[tuple[int, int]]]) -> np.ndarray:
    """New numbers of a tissue's lesions.

    Args:
        count: Number of lesions.
        touching: For each other tissue in turn, the pairs (own lesion, its lesion) that touch.

    Returns:
        (count + 1,) old number → new number, consecutive, 0 → 0.
    """
    numbers = np.arange(count + 1)
    for contact in touching:
        pairs = sorted({(int(numbers[own]), other) for own, other in contact})
        if len(pairs) <= 1:
            continue
        fresh = int(numbers.max()) + 1
        of_other: dict[int, int] = {}
        of_own: dict[int, int] = {}
        for own, other in pairs:
            of_other.setdefault(other, fresh + len(of_other))
            of_own.setdefault(own, of_other[other])
        numbers = np.array([of_own.get(number, number) for number in numbers.tolist()])
    return np.unique(numbers, return_inverse=True)[1]


def contacts(lesions: Mapping[str, Objects]) -> Contacts:
    """(tissue, other tissue) → pairs of lesion numbers that are 18-neighbours, in both orders."""
    names = list(JOINED_BY)
    # One code a lesion over all tissues, of which no two share a voxel.
    starts = np.cumsum([0] + [lesions[name].count for name in names])
    total = int(starts[-1]) + 1
    pairs = [np.empty(0, np.int64)]
    for parts in zip(*(lesions[name].labels for name in names), strict=True):
        codes = np.zeros(parts[0].shape, np.int32)
        for labels, start in zip(parts, starts, strict=False):
            inside = labels != 0
            codes[inside] = labels[inside] + np.int32(start)
        pairs.append(_neighbours(codes, total))
    found: Contacts = {pair: [] for pair in itertools.permutations(names, 2)}
    for code in np.unique(np.concatenate(pairs)).tolist():
        ends = divmod(code, total)
        (a, i), (b, j) = (_tissue(end, starts) for end in ends)
        found[names[a], names[b]].append((i, j))
        found[names[b], names[a]].append((j, i))
    return found


def _tissue(code: int, starts: np.ndarray) -> tuple[int, int]:
    tissue = int(np.searchsorted(starts, code)) - 1
    return tissue, code - int(starts[tissue])


def _neighbours(codes: np.ndarray, total: int) -> np.ndarray:
    """Pairs of different codes, as first · total + second, among 18-neighbours."""
    padded = np.pad(codes, 1)
    strides = np.array([padded.shape[1] * padded.shape[2], padded.shape[2], 1])
    flat, padded = np.flatnonzero(padded), padded.ravel()
    directions = [d for d in itertools.product((-1, 0, 1), repeat=3) if 1 <= np.abs(d).sum() <= 2]
    pairs = []
    for direction in directions[: len(directions) // 2]:  # the other half is opposite
        here, there = padded[flat], padded[flat + np.dot(direction, strides)]
        touching = (there != 0) & (there != here)
        pairs.append(here[touching].astype(np.int64) * total + there[touching])
    return np.concatenate(pairs)
