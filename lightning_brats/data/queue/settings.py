"""How patches are drawn: the settings of the `queue` group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lightning_brats.data.cache import CachedCase
from lightning_brats.data.placement import slice_limits, tumour_slices
from lightning_brats.data.sampling import SliceRange
from lightning_brats.errors import ConfigError, DataError
from lightning_brats.slices import AXES, axis_numbers, check_neighbours


@dataclass(frozen=True)
class QueueSettings:
    """How patches are drawn.

    Args:
        patch_size: (px, py, pz) in voxels; one axis of 1 for slices.
        batch_size: Patches in a training step, on each device.
        patches_per_volume: Visits of each case an epoch.
        foreground: Share of patches centred on tumour.
        workers: Processes that read and augment; 0 reads in the trainer.
        max_bytes: Upper bound on patches in flight on each device: those that wait, and the batches
            made of them. What a worker needs while it cuts and augments comes on top.
        margin: Voxels read around a patch for spatial transforms, cut off after them.
        slices: Where slices may lie along their axis of the prepared volume: `[0.1, 0.9]` as
            shares, `[20, 120]` as first and one after the last.
        tumour_only: Share of slices that must hold tumour; `true` for all.
        neighbours: Slices on either side of a slice that come with it as channels (2.5-D).
        axes: Names of the axes along which slices are cut, one drawn by lot for each patch; by
            default the one along which the patch is one voxel deep.

    Raises:
        ConfigError: A setting is out of its range.
    """

    patch_size: Sequence[int] = (48, 48, 48)
    batch_size: int = 2
    patches_per_volume: int = 4
    foreground: float = 1 / 3
    workers: int = 1
    max_bytes: int = 2**30
    margin: int = 0
    slices: Sequence[float] | None = None
    tumour_only: float = 0.0
    neighbours: int = 0
    axes: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if len(self.patch_size) != 3 or min(self.patch_size) < 1:
            raise ConfigError(
                f"queue.patch_size={list(self.patch_size)} is not three positive numbers",
                remedy="for example queue.patch_size=[96,96,96], or [192,192,1] for slices",
            )
        for name in ("foreground", "tumour_only"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"queue.{name}={getattr(self, name)} is not between 0 and 1")
        for name, least in (
            ("batch_size", 1),
            ("patches_per_volume", 1),
            ("workers", 0),
            ("margin", 0),
        ):
            if getattr(self, name) < least:
                raise ConfigError(f"queue.{name}={getattr(self, name)} is less than {least}")
        self._check_slices()
        check_neighbours(self.neighbours, self.patch_size, "queue.neighbours")
        axis_numbers(self.axes, self.patch_size, "queue.axes")

    def _check_slices(self) -> None:
        thin = [size for size in self.patch_size if size == 1]
        if len(thin) > 1:
            raise ConfigError(
                f"queue.patch_size={list(self.patch_size)} is one voxel deep along several axes",
                remedy="one axis of 1 makes slices: queue.patch_size=[192,192,1]",
            )
        if (self.slices is not None or self.tumour_only) and not thin:
            raise ConfigError(
                f"queue.slices and queue.tumour_only are for slices, but queue.patch_size is "
                f"{list(self.patch_size)}",
                remedy="make one axis 1: queue.patch_size=[192,192,1]; for volumes, "
                "queue.foreground=1 centres every patch on tumour",
            )
        if self.slices is None:
            return
        good = len(self.slices) == 2 and 0 <= self.slices[0] < self.slices[1]
        if not good or (self.slices[1] > 1 and any(s != int(s) for s in self.slices)):
            raise ConfigError(
                f"queue.slices={list(self.slices)} is no range",
                remedy="shares, as in queue.slices=[0.1,0.9], or numbers: queue.slices=[20,120]",
            )

    @property
    def slice_axes(self) -> list[int]:
        """Axes along which slices are cut; none where patches are no slices."""
        return axis_numbers(self.axes, self.patch_size, "queue.axes")

    @property
    def slice_range(self) -> SliceRange | None:
        """First slice and the one after the last, or `None` for all."""
        return (self.slices[0], self.slices[1]) if self.slices is not None else None

    def check(self, cases: Sequence[CachedCase]) -> None:
        """Look at every case before training starts, where the settings ask something of it.

        Raises:
            ConfigError: A volume has no slice in the range.
            DataError: A case has no tumour in it, and all slices must hold some.
        """
        if self.slices is None and self.tumour_only < 1:
            return
        for case in cases:
            for axis in self.slice_axes:
                self._check_case(case, axis)

    def _check_case(self, case: CachedCase, axis: int) -> None:
        limits = slice_limits(case.shape[axis], self.slice_range)
        if self.tumour_only == 1 and not len(tumour_slices(case.foreground, axis, limits)):
            first, stop = limits
            raise DataError(
                f"no slice from {first} to {stop - 1} holds tumour, but every {AXES[axis]} slice "
                "must",
                case=case.meta["case"],
                remedy="queue.tumour_only=0.9 (where there is none, any slice is taken), or "
                "leave the case out of the split",
            )
