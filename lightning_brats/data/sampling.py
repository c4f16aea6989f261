"""Which patch comes when: a pure function of (seed, epoch, rank, position).

Nothing here reads files. A run that stops and goes on, a rank among many, or a test can therefore
ask for the very patches that an uninterrupted run would have drawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import ceil, floor

import numpy as np

SliceRange = tuple[float, float]
"""First slice, and the one after the last: as shares of the volume (0 to 1), or counted."""


@dataclass(frozen=True)
class PatchRequest:
    """One patch to cut.

    Args:
        subject: Index of the case.
        forced: Whether the patch must be centred on foreground.
        seed: Drives the place of the patch and its augmentation.
        tumour: Whether a slice must hold tumour; for patches one voxel deep.
        slices: Where such a slice may lie; anywhere when `None`.
    """

    subject: int
    forced: bool
    seed: int
    tumour: bool = False
    slices: SliceRange | None = None


@dataclass(frozen=True)
class PatchPlan:
    """The order of patches in every epoch.

    Each epoch is one or more permutations of all subjects, dealt to the ranks like cards: within a
    permutation a subject belongs to one rank, and the ranks together take, step by step, the very
    patches that one process with their joint batch size would take. Where the deal does not come
    out even, the next permutation's first subjects fill the last batch, each of them once more than
    the others, so that all ranks take equally many steps, even with fewer subjects than ranks.

    Args:
        subjects: Number of training cases.
        patches_per_volume: Visits of each subject an epoch.
        foreground: Share of patches centred on a foreground voxel, met to one patch: one at a
            random place in every 1 / share patches, so that no rank gets more than another.
        batch_size: Patches a rank uses in a step.
        seed: Of the experiment.
        rank: This process.
        world: Number of processes.
        tumour: Share of slices that must hold tumour, met likewise.
        slices: Where slices may lie.
    """

    subjects: int
    patches_per_volume: int
    foreground: float
    batch_size: int
    seed: int = 0
    rank: int = 0
    world: int = 1
    tumour: float = 0.0
    slices: SliceRange | None = None

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
                forced=_is_chosen(self.foreground, place, (self.seed, epoch), 1),
                seed=int(key.generate_state(1, np.uint64)[0] >> 1),
                tumour=_is_chosen(self.tumour, place, (self.seed, epoch), 2),
                slices=self.slices,
            )

    def _order(self, epoch: int) -> np.ndarray:
        generator = np.random.default_rng((self.seed, epoch))
        rounds = -(-len(self) * self.world // self.subjects)
        return np.concatenate([generator.permutation(self.subjects) for _ in range(rounds)])


def _is_chosen(share: float, place: int, key: tuple[int, int], purpose: int) -> bool:
    """Whether `place` is one of the share: exactly one in each run of 1 / share places is."""
    exact = _fraction(share)
    rare = min(exact, 1 - exact)
    if rare == 0:
        return exact == 1
    run = ceil((place + 1) * rare) - 1
    start, stop = floor(run / rare), floor((run + 1) / rare)
    drawn = np.random.SeedSequence((*key, run, purpose)).generate_state(1)[0] % (stop - start)
    return (place == start + int(drawn)) == (exact == rare)


@lru_cache
def _fraction(share: float) -> Fraction:
    """The fraction that is meant: 0.3333 is a third, and 0.29 is not 0.28999…"""
    return Fraction(share).limit_denominator(1000)
