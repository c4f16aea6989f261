"""Refinement of a network's masks by classical means, where that helps on validation cases.

Each region has its own way, chosen by Dice on the network's masks of the validation cases. A mask
is left as it is where nothing helps there by more than chance gives.

Shapes: `x y z` a prepared, cropped volume.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np
from scipy.special import stdtrit

from lightning_brats.baselines.band import Band, grow, walk
from lightning_brats.baselines.scan import Scan
from lightning_brats.baselines.tissue import NEEDS, best, dice, region
from lightning_brats.errors import ConfigError, DataError
from lightning_brats.labels import RC, labels_from_regions
from lightning_brats.postprocess import Closing, Hierarchy, Opening
from lightning_brats.postprocess.steps import Spacing

SHOWN: Mapping[str, str] = {"WT": "t2f", "TC": "t1c", "ET": "t1c"}
"""Region → modality that shows its border."""
KEEP = "keep"
SURE = 0.9
"""Confidence with which a way has to help on validation cases: few of them mislead easily."""

Way = Callable[[np.ndarray, Scan, np.ndarray], np.ndarray]
"""(mask, scan, smoothed modality) → the mask refined, all (x, y, z)."""


class Refinement:
    """Morphology, region growing or a random walk from the masks that a scan starts with.

    Args:
        run: Folder of the network's run.
        radii: In mm, of the ball that opens or closes a mask; a voxel at least.
        bands: In mm, how far from a mask's surface its border is looked for.
        beta: Of the random walk, see `band.walk`.
        smoothing: Standard deviation in mm of the smoothing before it.
    """

    needs: ClassVar[tuple[str, ...]] = NEEDS

    def __init__(
        self,
        run: str,
        radii: Sequence[float] = (1.0, 3.0),
        bands: Sequence[float] = (2.0, 4.0),
        beta: float = 90.0,
        smoothing: float = 1.0,
    ) -> None:
        if min((*radii, *bands, beta)) <= 0:
            raise ConfigError("method.radii, method.bands and method.beta must be above 0")
        self.run, self.smoothing = run, smoothing
        self.ways: dict[str, Way] = {KEEP: _keep}
        for mm in radii:
            self.ways[f"open {mm:g} mm"] = partial(_mend, Opening, mm)
            self.ways[f"close {mm:g} mm"] = partial(_mend, Closing, mm)
        for mm in bands:
            self.ways[f"grow within {mm:g} mm"] = partial(_redraw, mm, grow)
            self.ways[f"walk within {mm:g} mm"] = partial(_redraw, mm, partial(walk, beta=beta))
        self.chosen: dict[str, str] = {}

    def fit(self, scans: Sequence[Scan], seed: int) -> dict[str, Any]:
        """Choose a way for each region by Dice, where it helps surely enough.

        Args:
            scans: Validation cases with labels, and masks to start with.
            seed: Nothing is drawn.

        Raises:
            DataError: There are none.
        """
        if not len(scans):
            raise DataError(
                "the run has no validation cases to choose a refinement on",
                remedy="train with split.validation=0.1",
            )
        known = [self._scores(scan) for scan in scans]
        ways, found = tuple(self.ways), {}
        for name in SHOWN:
            own = [scores[name] for scores in known]
            way, _ = best(ways, (scores.__getitem__ for scores in own))
            way = way if _surely_helps([scores[way] - scores[KEEP] for scores in own]) else KEEP
            before, reached = (float(np.mean([scores[w] for scores in own])) for w in (KEEP, way))
            self.chosen[name] = way
            found[name] = {
                "way": way,
                "validation_dice": {"before": round(before, 4), "after": round(reached, 4)},
            }
        return {"validation_cases": len(scans), **found}

    def segment(self, scan: Scan) -> np.ndarray:
        """(x, y, z) uint8 internal labels; resection cavities stay as the network saw them."""
        assert scan.start is not None
        masks = {
            name: self.ways[way](region(scan.start, name), scan, self._shown(scan, name))
            for name, way in self.chosen.items()
        }
        nested = Hierarchy()(masks, scan.spacing)
        labels = labels_from_regions(np.stack(list(nested.values())), tuple(nested))
        labels[scan.start == RC] = RC
        return labels

    def _scores(self, scan: Scan) -> dict[str, dict[str, float]]:
        """Region → way → Dice, of masks that leave resection cavities out as `segment` does."""
        assert scan.start is not None
        assert scan.labels is not None
        free = scan.start != RC
        scores: dict[str, dict[str, float]] = {}
        for name in SHOWN:
            wanted, start = region(scan.labels, name), region(scan.start, name)
            shown = self._shown(scan, name)
            scores[name] = {
                way: dice(wanted, change(start, scan, shown) & free)
                for way, change in self.ways.items()
            }
        return scores

    def _shown(self, scan: Scan, name: str) -> np.ndarray:
        return scan.smooth(scan.standard(SHOWN[name]), self.smoothing)


def _surely_helps(gains: Sequence[float]) -> bool:
    """Whether the gains in Dice, one a case, are above 0 by more than chance gives.

    One-sided, by Student's t; a single case says nothing.
    """
    if len(gains) < 2:
        return False
    error = float(np.std(gains, ddof=1)) / len(gains) ** 0.5
    return float(np.mean(gains)) > float(stdtrit(len(gains) - 1, SURE)) * error


def _keep(mask: np.ndarray, scan: Scan, channel: np.ndarray) -> np.ndarray:
    return mask


def _mend(
    step: Callable[[float], Any], mm: float, mask: np.ndarray, scan: Scan, channel: np.ndarray
) -> np.ndarray:
    """A step of the post-processing with a ball that one voxel at least fits into."""
    return step(_at_least_a_voxel(mm, scan.spacing))({"WT": mask}, scan.spacing)["WT"] & scan.brain


def _redraw(
    mm: float,
    decide: Callable[[Band, np.ndarray], np.ndarray],
    mask: np.ndarray,
    scan: Scan,
    channel: np.ndarray,
) -> np.ndarray:
    """The mask with its border found anew."""
    if not mask.any():
        return mask
    band = Band.around(mask, scan.brain, mm, scan.spacing)
    return band.put(decide(band, channel), mask.shape)


def _at_least_a_voxel(mm: float, spacing: Spacing) -> float:
    return max(mm, *(float(size) for size in spacing))
