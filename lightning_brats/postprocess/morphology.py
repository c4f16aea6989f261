"""Steps that mend the shape of region masks; what a step is, `steps.py` says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cc3d
import numpy as np
from scipy import ndimage

from lightning_brats.postprocess.steps import Masks, Spacing, changed, check_regions


@dataclass(frozen=True)
class FillHoles:
    """Fill background that a region encloses on all sides (6 neighbours).

    Args:
        regions: Regions concerned; all by default.
    """

    regions: Sequence[str] | None = None

    def __post_init__(self) -> None:
        check_regions(self.regions)

    def __call__(self, masks: Masks, spacing: Spacing) -> Masks:
        """Masks without holes."""
        return changed(masks, self.regions, _filled)


@dataclass(frozen=True)
class Opening:
    """Remove what a ball does not fit into: bridges, spikes, specks.

    Args:
        radius: Of the ball, in mm; under one voxel nothing changes.
        regions: Regions concerned; all by default.
    """

    radius: float
    regions: Sequence[str] | None = None

    def __post_init__(self) -> None:
        check_regions(self.regions)

    def __call__(self, masks: Masks, spacing: Spacing) -> Masks:
        """Opened masks."""
        ball = _ball(self.radius, spacing)
        return changed(masks, self.regions, lambda m: ndimage.binary_opening(m, ball))


@dataclass(frozen=True)
class Closing:
    """Fill gaps and dents that a ball does not fit into.

    Args:
        radius: Of the ball, in mm; under one voxel nothing changes.
        regions: Regions concerned; all by default.
    """

    radius: float
    regions: Sequence[str] | None = None

    def __post_init__(self) -> None:
        check_regions(self.regions)

    def __call__(self, masks: Masks, spacing: Spacing) -> Masks:
        """Closed masks."""
        ball = _ball(self.radius, spacing)
        # Room around the mask: otherwise the erosion eats what touches the volume's border.
        room = [size // 2 for size in ball.shape]
        inner = tuple(slice(n, -n or None) for n in room)

        def close(mask: np.ndarray) -> np.ndarray:
            return ndimage.binary_closing(np.pad(mask, [(n, n) for n in room]), ball)[inner]

        return changed(masks, self.regions, close)


def _filled(mask: np.ndarray) -> np.ndarray:
    """The mask and all that a background component with no way to the border takes up."""
    background = cc3d.connected_components(np.pad(~mask, 1, constant_values=True), connectivity=6)
    return (background != background[0, 0, 0])[1:-1, 1:-1, 1:-1]


def _ball(radius: float, spacing: Spacing) -> np.ndarray:
    """Voxels no farther than `radius` mm from the middle one."""
    radius += 1e-6  # so that three voxels of 0.3 mm fit into 0.9 mm
    offsets = np.ogrid[tuple(slice(-int(radius / s), int(radius / s) + 1) for s in spacing)]
    x, y, z = ((o * s) ** 2 for o, s in zip(offsets, spacing, strict=True))
    return x + y + z <= radius**2
