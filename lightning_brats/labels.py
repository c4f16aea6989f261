"""Modalities, tissue labels, regions, and the label codings that BraTS releases used.

Everything inside the package uses one coding, the one of BraTS 2024: 0 background, 1 necrotic or
non-enhancing tumour core (NETC), 2 oedema / surrounding non-enhancing FLAIR hyperintensity (SNFH),
3 enhancing tumour (ET), 4 resection cavity (RC). A `LabelScheme` translates a data set's own values
on reading and back on writing, so a label 4 can never mean two things at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

MODALITIES = ("t1n", "t1c", "t2w", "t2f")
"""Native T1, contrast-enhanced T1, T2 and T2-FLAIR: BraTS' names, and our channel order."""

BACKGROUND, NETC, SNFH, ET, RC = range(5)
TISSUES = ("background", "NETC", "SNFH", "ET", "RC")

REGIONS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "WT": (NETC, SNFH, ET),
        "TC": (NETC, ET),
        "ET": (ET,),
        "RC": (RC,),
        "NETC": (NETC,),
        "SNFH": (SNFH,),
    }
)
"""Region → labels. The resection cavity never belongs to the whole tumour."""

REGION_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "WT": "whole tumour",
        "TC": "tumour core",
        "ET": "enhancing tumour",
        "RC": "resection cavity",
        "NETC": "non-enhancing tumour core",
        "SNFH": "surrounding FLAIR hyperintensity",
    }
)


class UnknownLabelsError(ValueError):
    """A mask holds values that its scheme does not define."""

    def __init__(self, found: Sequence[float], scheme: LabelScheme) -> None:
        self.found, self.scheme = tuple(found), scheme
        super().__init__(
            f"mask values {list(found)} are not in the coding '{scheme.name}' ({scheme.describe()})"
        )


@dataclass(frozen=True)
class LabelScheme:
    """A data set's label coding.

    Args:
        name: Shown in messages and stored with every run.
        codes: Value in the file → internal label. 0 → 0 is implied. Several file values may share
            one internal label; the first one listed is the value written back.
        regions: Regions that are trained and scored on such data.
    """

    name: str
    codes: Mapping[int, int]
    regions: tuple[str, ...] = ("WT", "TC", "ET")
    _inverse: Mapping[int, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        codes = {int(value): int(label) for value, label in self.codes.items()}
        bad = sorted(set(codes.values()) - set(range(len(TISSUES))))
        if bad:
            raise ValueError(
                f"label scheme '{self.name}' maps to {bad}; internal labels are 0 to {RC}"
            )
        unknown = [region for region in self.regions if region not in REGIONS]
        if unknown:
            raise ValueError(f"unknown regions {unknown}; choose from {list(REGIONS)}")
        codes[0] = codes.get(0, BACKGROUND)
        inverse = {BACKGROUND: 0}
        for value, label in codes.items():
            inverse.setdefault(label, value)
        object.__setattr__(self, "codes", MappingProxyType(codes))
        object.__setattr__(self, "_inverse", MappingProxyType(inverse))

    def __reduce__(self) -> tuple:
        return LabelScheme, (self.name, dict(self.codes), self.regions)

    def describe(self) -> str:
        """Human-readable coding, e.g. `1 NETC, 2 SNFH, 4 ET`."""
        return ", ".join(f"{v} {TISSUES[label]}" for v, label in sorted(self.codes.items()) if v)

    def decode(self, mask: np.ndarray) -> np.ndarray:
        """File values → internal labels.

        Args:
            mask: Array of any shape and type; floats must be whole numbers.

        Returns:
            `uint8` array of the same shape.

        Raises:
            UnknownLabelsError: A value is not in the scheme (nor a whole number).
        """
        rounded = np.rint(mask) if np.issubdtype(mask.dtype, np.floating) else mask
        if rounded is not mask and not np.array_equal(rounded, mask):
            raise UnknownLabelsError(np.unique(mask[rounded != mask])[:5].tolist(), self)
        if not mask.size or rounded.min() < 0 or rounded.max() > 255:
            return self._decode_any(rounded)
        # Sorting millions of voxels to see four values would take longer than reading them.
        unknown = len(TISSUES)
        table = np.full(256, unknown, np.uint8)
        for value, label in self.codes.items():
            if 0 <= value <= 255:
                table[value] = label
        narrow = rounded.astype(np.uint8, copy=False)
        out = table[narrow]
        if out.max() == unknown:
            raise UnknownLabelsError(np.unique(narrow[out == unknown]).tolist(), self)
        return out

    def _decode_any(self, mask: np.ndarray) -> np.ndarray:
        """The same for values of any size."""
        values = np.unique(mask)
        unknown = [int(v) for v in values if int(v) not in self.codes]
        if unknown:
            raise UnknownLabelsError(unknown, self)
        out = np.zeros(mask.shape, np.uint8)
        for value in values:
            if self.codes[int(value)]:
                out[mask == value] = self.codes[int(value)]
        return out

    def encode(self, labels: np.ndarray) -> np.ndarray:
        """Internal labels → file values, as `uint8` (`int16` where a value needs it).

        Raises:
            ValueError: A label has no value in this coding.
        """
        present = [int(v) for v in np.unique(labels)]
        missing = [TISSUES[v] for v in present if v not in self._inverse]
        if missing:
            raise ValueError(f"the coding '{self.name}' has no value for {missing}")
        table = np.zeros(len(TISSUES), np.int16)
        for label, value in self._inverse.items():
            table[label] = value
        narrow = table.min() >= 0 and table.max() <= 255
        return (table.astype(np.uint8) if narrow else table)[labels]


SCHEMES: Mapping[str, LabelScheme] = MappingProxyType(
    {
        scheme.name: scheme
        for scheme in (
            LabelScheme("brats2018", {1: NETC, 2: SNFH, 4: ET}),
            LabelScheme("brats2023", {1: NETC, 2: SNFH, 3: ET}),
            LabelScheme("brats2024", {1: NETC, 2: SNFH, 3: ET, 4: RC}, ("WT", "TC", "ET", "RC")),
            LabelScheme("msd", {1: SNFH, 2: NETC, 3: ET}),
        )
    }
)
"""Codings by release: `brats2018` serves 2018 to 2021, `brats2023` all 2023 cohorts."""


def named_scheme(name: str) -> LabelScheme | None:
    """The coding of a release, also of those that share an earlier one's; `None` if unknown."""
    return SCHEMES.get("brats2018" if name in ("brats2019", "brats2020", "brats2021") else name)


def region_masks(labels: np.ndarray, regions: Sequence[str]) -> np.ndarray:
    """Internal labels (X, Y, Z) → one boolean mask a region (R, X, Y, Z)."""
    return np.stack([np.isin(labels, REGIONS[region]) for region in regions])


def labels_from_regions(masks: np.ndarray, regions: Sequence[str]) -> np.ndarray:
    """Region masks (R, X, Y, Z) → internal labels (X, Y, Z), `uint8`.

    Regions are painted from the widest to the narrowest, so that ET lies over TC over WT; what is
    in WT alone becomes SNFH, in TC alone NETC. RC is painted last and only where no tumour is.
    """
    paint = {"WT": SNFH, "SNFH": SNFH, "TC": NETC, "NETC": NETC, "ET": ET}
    out = np.zeros(masks.shape[1:], np.uint8)
    for region, label in paint.items():
        if region in regions:
            out[masks[list(regions).index(region)]] = label
    if "RC" in regions:
        out[masks[list(regions).index("RC")] & (out == BACKGROUND)] = RC
    return out
