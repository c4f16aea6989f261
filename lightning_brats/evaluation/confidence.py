"""What networks say about their own masks, next to the references: tables of some cases.

Shapes: `X Y Z` voxels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lightning_brats.evaluation.reliability import BINS, Calibration, RiskCoverage
from lightning_brats.labels import REGIONS, region_masks

FILES = ("predicted_dice.csv", "calibration.csv")
BRAIN = "the brain"
NOT_ZERO = "the voxels with a probability above 0, or in the reference"
"""Where calibration is measured: in the brain, or there where no image tells the brain."""

Calibrations = Mapping[str, Calibration]
"""Region → calibration of one case."""


def case_calibration(
    probabilities: Sequence[np.ndarray],
    reference: np.ndarray,
    regions: Sequence[str],
    brain: np.ndarray | None,
) -> dict[str, Calibration]:
    """Calibration of one case, by region.

    Args:
        probabilities: (X, Y, Z) of each region.
        reference: (X, Y, Z) internal labels.
        regions: Names, one a probability map.
        brain: (X, Y, Z) bool, the voxels looked at; without it, those that have a probability
            above 0 or belong to the region.
    """
    found = {}
    for region, soft in zip(regions, probabilities, strict=True):
        mask = region_masks(reference, [region])[0]
        within = (soft > 0) | mask if brain is None else brain
        found[region] = Calibration.measure(soft, mask, within)
    return found


@dataclass(frozen=True)
class Confidence:
    """Predicted Dice and calibration of some cases.

    Args:
        predicted: Columns case, region, predicted_dice.
        calibration: Columns case, region, within (which voxels), low, high (of the bin), voxels,
            confidence (sum of their probabilities), positive (how many the reference holds); bins
            without voxels are left out.
    """

    predicted: pd.DataFrame
    calibration: pd.DataFrame

    @classmethod
    def of(
        cls,
        predicted: Mapping[str, Mapping[str, float]],
        calibrations: Mapping[str, Calibrations],
        within: Mapping[str, str] | None = None,
    ) -> Confidence:
        """Tables from what is known of each case.

        Args:
            predicted: Case → region → predicted Dice.
            calibrations: Case → region → calibration.
            within: Case → where that was measured; by default in the brain.
        """
        where = within or {}
        return cls(
            pd.DataFrame(
                [(c, region, dice) for c, own in predicted.items() for region, dice in own.items()],
                columns=["case", "region", "predicted_dice"],
            ),
            pd.DataFrame(
                [
                    (case, region, where.get(case, BRAIN), *row)
                    for case, own in calibrations.items()
                    for region, measured in own.items()
                    for row in _bins(measured)
                ],
                columns=["case", "region", "within", *_COLUMNS],
            ),
        )

    @classmethod
    def read(cls, folder: Path) -> Confidence | None:
        """What `write` left in a folder; `None` where it left nothing."""
        paths = [folder / name for name in FILES]
        if not all(path.is_file() for path in paths):
            return None
        # Identifiers such as 00012 or NA are text, whatever they look like.
        texts = {"case": str, "region": str, "within": str}
        return cls(*(pd.read_csv(path, dtype=texts, keep_default_na=False) for path in paths))

    @classmethod
    def join(cls, parts: Sequence[Confidence]) -> Confidence:
        """Tables of several sets of cases as one."""
        return cls(
            pd.concat([part.predicted for part in parts], ignore_index=True),
            pd.concat([part.calibration for part in parts], ignore_index=True),
        )

    def write(self, folder: Path) -> None:
        """Write `predicted_dice.csv` and `calibration.csv`."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in zip(FILES, (self.predicted, self.calibration), strict=True):
            table.to_csv(folder / name, index=False)

    @property
    def within(self) -> str | None:
        """Where calibration was measured; `None` where it was not."""
        kinds = self.calibration["within"].unique()
        return " and ".join(kinds) or None

    @property
    def calibrated(self) -> list[str]:
        """Regions whose probabilities are known."""
        return list(self.calibration["region"].unique())

    def pooled(self, region: str) -> Calibration:
        """Calibration of a region over all cases together, every voxel counting the same."""
        rows = self.calibration[self.calibration["region"] == region]
        places = (rows["low"] * BINS).round().astype(int)
        columns = (rows[name] for name in _COLUMNS[2:])
        return Calibration(*(np.bincount(places, values, BINS) for values in columns))

    def dice(self, scores: pd.DataFrame) -> pd.DataFrame:
        """Predicted next to true Dice.

        Args:
            scores: Tidy rows from `evaluate`.

        Returns:
            Columns case, region, predicted, true; the cases and regions that have both.
        """
        true = scores[scores["metric"] == "dice"][["case", "region", "value"]].dropna()
        both = true.merge(self.predicted.dropna(), on=["case", "region"])
        return both.rename(columns={"predicted_dice": "predicted", "value": "true"})

    def summarise(self, scores: pd.DataFrame) -> dict[str, Any]:
        """How far the networks can be trusted, for `summary.json`.

        Returns:
            `within` and `regions`: region → `ece`, and by case `n`, `error` (mean difference of
            predicted and true Dice without its sign), `correlation` (Spearman's), `aurc`,
            `aurc_oracle`, `aurc_random`; `mean` stands for the mean Dice over the regions. A
            figure that cannot be computed is `None`.
        """
        pairs = self.dice(scores)
        figures = {region: _detection(rows) for region, rows in pairs.groupby("region", sort=False)}
        for region in self.calibrated:
            ece = self.pooled(region).ece
            figures.setdefault(region, {})["ece"] = None if np.isnan(ece) else ece
        if len(pairs):
            figures["mean"] = _detection(mean_over_regions(pairs))
        return {"within": self.within, "regions": figures}


def mean_over_regions(pairs: pd.DataFrame) -> pd.DataFrame:
    """Predicted and true Dice of each case (`Confidence.dice`), averaged over its regions."""
    return pairs.groupby("case", as_index=False, sort=False)[["predicted", "true"]].mean()


_COLUMNS = ("low", "high", "voxels", "confidence", "positive")


def _bins(measured: Calibration) -> list[tuple[float, float, int, float, int]]:
    sums = zip(measured.count, measured.confidence, measured.positive, strict=True)
    return [
        (place / BINS, (place + 1) / BINS, int(count), float(confidence), int(positive))
        for place, (count, confidence, positive) in enumerate(sums)
        if count
    ]


def _detection(rows: pd.DataFrame) -> dict[str, Any]:
    predicted, true = rows["predicted"].tolist(), rows["true"].tolist()
    varied = len(set(predicted)) > 1 and len(set(true)) > 1
    return {
        "n": len(rows),
        "error": float((rows["predicted"] - rows["true"]).abs().mean()),
        "correlation": float(rows["predicted"].corr(rows["true"], "spearman")) if varied else None,
        "aurc": RiskCoverage.measure(predicted, true).aurc,
        "aurc_oracle": RiskCoverage.oracle(true).aurc,
        "aurc_random": RiskCoverage.random(true).aurc,
    }


def known_regions(columns: Sequence[str], ending: str) -> list[str]:
    """Regions of a table's columns `<region><ending>`, in their order."""
    names = [name.removesuffix(ending) for name in columns if name.endswith(ending)]
    return [name for name in names if name in REGIONS]
