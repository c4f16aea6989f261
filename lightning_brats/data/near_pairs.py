"""All pairs of near fingerprints, without comparing all of everything.

Every case is compared with every other one and with its mirror images, in two steps. The first
compares projections on a few principal axes; a projection can only bring two cases nearer than they
are, so no pair is lost. The second compares the whole fingerprints of the pairs that are left.

Shapes: `M` modalities compared, `N` cells of a fingerprint.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b

import numpy as np
from scipy.linalg import eigh

from lightning_brats.data import likeness
from lightning_brats.errors import DataError

RETAINED = 0.5
"""Share of the variance that the principal axes keep: two cases then lie far apart on them too."""
FEWEST_AXES = 24
BLOCK = 1024
"""Cases compared at once with as many others: their distances stay in the processor's cache."""
_ALPHABET = likeness.ALPHABET.encode()


class Group:
    """Cases with the same modalities, each different fingerprint once.

    Args:
        members: Places of the cases in the data set.
        modalities: M modalities to compare.
        ids: Identifiers of the data set.
        fingerprints: Of the data set.
    """

    def __init__(
        self,
        members: Sequence[int],
        modalities: Sequence[str],
        ids: Sequence[str],
        fingerprints: Sequence[Mapping[str, str]],
    ) -> None:
        self.modalities = len(modalities)
        self.copies: list[tuple[int, int]] = []
        letters = np.empty((len(members), likeness.CELLS * self.modalities), np.uint8)
        first: dict[bytes, int] = {}
        for place in members:
            code = _bytes(ids[place], [fingerprints[place][modality] for modality in modalities])
            digest = blake2b(code, digest_size=16).digest()
            original = first.setdefault(digest, place)
            if original == place:
                letters[len(first) - 1] = np.frombuffer(code, np.uint8)
            else:
                self.copies.append((original, place))
        self.letters = letters[: len(first)]
        self.places = np.fromiter(first.values(), np.int64, len(first))

    def vectors(self, rows: np.ndarray | slice) -> np.ndarray:
        """(n, M · N) float32 of some rows, each of length 1."""
        letters = self.letters[rows]
        values = likeness.values(letters.reshape(-1, likeness.CELLS))
        return values.reshape(len(letters), -1) / np.float32(self.modalities**0.5)

    def projected(self, axes: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """(rows, axes) every row on the axes (M · N, axes), from the mean (M · N,)."""
        starts = range(0, len(self.letters), BLOCK)
        origin = mean @ axes
        return np.concatenate(
            [self.vectors(slice(start, start + BLOCK)) @ axes - origin for start in starts]
        )


def near_pairs(left: Group, right: Group, limit: float) -> Iterator[tuple[int, int, float, bool]]:
    """Pairs of cases from two groups, or within one, whose fingerprints correlate by `limit`.

    Args:
        left: Cases.
        right: Others, compared by the same modalities, or the same group.
        limit: Least correlation.

    Yields:
        Both places in the data set, the correlation, and whether one was mirrored for it. Of cases
        with one fingerprint each is given with the first of them alone.
    """
    if left is right:
        yield from ((a, b, 1.0, False) for a, b in left.copies)
    axes, mean = _principal_axes(left, right)
    reduced = left.projected(axes, mean)
    for turn, order in enumerate(likeness.flips()):
        cells = np.concatenate([order + i * likeness.CELLS for i in range(left.modalities)])
        # Mirroring the axes is mirroring the cases, and mirroring twice changes nothing.
        other = right.projected(axes[cells], mean[cells])
        for a, b in _candidates(reduced, other, limit, within=left is right):
            value = (left.vectors(a) * right.vectors(b)[:, cells]).sum(1)
            for i in np.flatnonzero(value >= limit):
                pair = int(left.places[a[i]]), int(right.places[b[i]])
                yield (*pair, min(float(value[i]), 1.0), turn > 0)


def _principal_axes(left: Group, right: Group) -> tuple[np.ndarray, np.ndarray]:
    """(M · N, axes) orthonormal axes and (M · N,) mean of some thousands of cases."""
    groups = {id(group): group for group in (left, right)}.values()
    rows = np.concatenate(
        [group.vectors(slice(None, None, max(1, len(group.places) // 2000))) for group in groups]
    )
    mean = rows.mean(0)
    if len(rows) < len(mean):  # a few cases span a few axes, and those are quickly found
        _, spread, found = np.linalg.svd(rows - mean, full_matrices=False)
        variances, axes = spread[::-1] ** 2, found[::-1].T
    else:
        variances, axes = eigh((rows - mean).T @ (rows - mean))
    kept = np.cumsum(variances[::-1]) / max(float(variances.sum()), 1e-12)
    count = max(int(np.searchsorted(kept, RETAINED)) + 1, FEWEST_AXES)
    return axes[:, -count:], mean


def _candidates(
    a: np.ndarray, b: np.ndarray, limit: float, within: bool
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows of pairs that may be near, by their projections, `BLOCK` at a time."""
    # Half the negative squared distance is one product with two more columns.
    half_a, half_b = (-(x**2).sum(1, keepdims=True) / 2 for x in (a, b))
    a = np.hstack([a, half_a, np.ones_like(half_a)])
    b = np.hstack([b, np.ones_like(half_b), half_b])
    # |a - b|² of unit vectors is 2 - 2 · correlation; the thousandth is for rounding.
    least = limit - 1 - 1e-3
    for i in range(0, len(a), BLOCK):
        for j in range(i if within else 0, len(b), BLOCK):
            product = a[i : i + BLOCK] @ b[j : j + BLOCK].T
            if product.max() < least and i != j:
                continue
            rows, columns = np.nonzero(product >= least)
            rows, columns = rows + i, columns + j
            if within:
                rows, columns = rows[rows < columns], columns[rows < columns]
            for start in range(0, len(rows), BLOCK):
                yield rows[start : start + BLOCK], columns[start : start + BLOCK]


def _bytes(case: str, codes: Sequence[str]) -> bytes:
    """Fingerprints of a case in one, checked."""
    joined = "".join(codes).encode("ascii", "replace")
    if len(joined) != likeness.CELLS * len(codes) or joined.translate(None, _ALPHABET):
        raise DataError(
            "the fingerprint of its images cannot be read",
            case=case,
            remedy="prepare the case again",
        )
    return joined
