"""The order in which BraTS 2024 looks at the tissues that join another's lesions."""

from __future__ import annotations

import by_the_book as book
import numpy as np
import pytest

from lightning_brats.metrics import score_case

LABELS = {"NETC": 1, "SNFH": 2, "ET": 3, "RC": 4}
DILATIONS = {"NETC": 5, "SNFH": 3, "ET": 3, "RC": 5}
LOOKS_AT = {
    "NETC": ("ET", "RC"),
    "ET": ("NETC", "RC"),
    "RC": ("ET", "NETC"),
    "SNFH": ("ET", "RC", "NETC"),
}
"""METRICS.md, BraTS 2024, step 3."""
PAIRS = [
    (tissue, first, second)
    for tissue, others in LOOKS_AT.items()
    for i, first in enumerate(others)
    for second in others[i + 1 :]
]


def chain(tissue: str, first: str, second: str) -> np.ndarray:
    """Three lesions of a tissue in a row, joined by two others in a way that depends on the order.

    Lesion 1 of `first` touches 2, its lesion 2 touches 1 and 3, the lesion of `second` 2 and 3.
    Looked at in this order, `first` joins 1 with 3, and `second` then both with 2: one lesion. The
    other way round, `second` joins 2 with 3; this lesion's first partner is then lesion 1 of
    `first`, and lesion 1's is lesion 2: two lesions. All are too far apart for dilation to join.
    """
    volume = np.zeros((70, 26, 44), np.uint8)
    row = slice(12, 15)
    for x in (20, 40, 60):
        volume[x : x + 3, row, 20:23] = LABELS[tissue]
    volume[0:43, row, 8:11] = volume[40:43, row, 8:20] = LABELS[first]
    volume[20:63, row, 34:37] = LABELS[first]
    volume[20:23, row, 23:37] = volume[60:63, row, 23:37] = LABELS[first]
    volume[43:60, row, 20:23] = LABELS[second]
    return volume


@pytest.mark.parametrize(("tissue", "first", "second"), PAIRS)
def test_tissues_are_looked_at_in_their_order(tissue: str, first: str, second: str) -> None:
    volume = chain(tissue, first, second)
    own, a, b = (
        book.grouped(volume == LABELS[name], DILATIONS[name]) for name in (tissue, first, second)
    )
    assert (own.max(), a.max(), b.max()) == (3, 2, 1)
    assert book.merge(own, [a, b]).max() == 1
    assert book.merge(own, [b, a]).max() == 2  # what a reversed order would find
    _, rows = score_case(volume, volume, protocol="brats2024-gli", lesions=True)
    assert [row.volume for row in rows if row.region == tissue] == [81]
