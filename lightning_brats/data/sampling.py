"""Which patch comes when: a pure function of (seed, epoch, rank, position).

Nothing here reads files. A run that stops and goes on, a rank among many, or a test can therefore
ask for the very patches that an uninterrupted run would have drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PatchRequest:
    """One patch to cut.

    Args:
        subject: Index of the case.
        forced: Whether the patch must be centred on foreground.
        seed: Drives the place of the patch and its augmentation.
    """

    subject: int
    forced: bool
    seed: int


@dataclass(frozen=True)
class PatchPlan:
    """The order of patches in every epoch.

    Each epoch is one or more permutations of all subjects, dealt to the ranks like cards, so that a
    subject is visited `patches_per_volume` times an epoch and by one rank at a time. Where the deal
    does not come out even, the next permutation's first subjects fill the last batch: all ranks
    take equally many steps.

    Args:
        subjects: Number of training cases.
        patches_per_volume: Visits of each subject an epoch.
        foreground: Share of patches centred on a foreground voxel; met exactly, evenly spread.
        batch_size: Patches a rank uses in a step.
        seed: Of the experiment.
        rank: This process.
        world: Number of processes.
    """

    subjects: int
    patches_per_volume: int
    foreground: float
    batch_size: int
    seed: int = 0
    rank: int = 0
    world: int = 1

    def __len__(self) -> int:
        """Patches an epoch and rank: a whole number of batches."""
        step = self.batch_size * self.world
        return -(-self.subjects * self.patches_per_volume // step) * self.batch_size

    def epoch(self, epoch: int, start: int = 0) -> Iterator[PatchRequest]:
        """This rank's requests of an epoch, from position `start`."""
        order = self._order(epoch)
        for position in range(start, len(self)):
            place = position * self.world + self.rank
            key = np.random.SeedSequence((self.seed, epoch, place))
            yield PatchRequest(
                subject=int(order[place]),
                forced=int((place + 1) * self.foreground) > int(place * self.foreground),
                seed=int(key.generate_state(1, np.uint64)[0] >> 1),
            )

    def _order(self, epoch: int) -> np.ndarray:
        generator = np.random.default_rng((self.seed, epoch))
        rounds = -(-len(self) * self.world // self.subjects)
        return np.concatenate([generator.permutation(self.subjects) for _ in range(rounds)])


def patch_corner(
    shape: tuple[int, ...],
    patch_size: tuple[int, ...],
    foreground: Mapping[int, np.ndarray],
    forced: bool,
    generator: np.random.Generator,
) -> tuple[int, ...]:
    """First voxel of a patch; negative where the volume is smaller than the patch.

    A forced patch is centred on a voxel of a label drawn uniformly from those present, so that
    small structures count as much as large ones (as in nnU-Net), then moved inside the volume.

    Args:
        shape: (x, y, z) of the volume.
        patch_size: (px, py, pz).
        foreground: Label → (N, 3) coordinates.
        forced: Whether to centre on foreground; ignored where there is none.
        generator: Source of chance.
    """
    low = [min(0, size - patch) for size, patch in zip(shape, patch_size, strict=True)]
    high = [max(0, size - patch) for size, patch in zip(shape, patch_size, strict=True)]
    if not (forced and foreground):
        return tuple(int(generator.integers(a, b + 1)) for a, b in zip(low, high, strict=True))
    label = sorted(foreground)[generator.integers(len(foreground))]
    voxel = foreground[label][generator.integers(len(foreground[label]))]
    corner = [int(v) - patch // 2 for v, patch in zip(voxel, patch_size, strict=True)]
    return tuple(min(max(c, a), b) for c, a, b in zip(corner, low, high, strict=True))
