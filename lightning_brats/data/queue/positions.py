"""The positions of an epoch, as Lightning wants them."""

from __future__ import annotations

from collections.abc import Iterator

from torch.utils.data import DistributedSampler

from lightning_brats.data.queue.patch_queue import PatchQueue


class PositionSampler(DistributedSampler):
    """Positions of the current epoch, in order; Lightning tells it the epoch.

    It is a `DistributedSampler` only by name, so that Lightning leaves it in place: the plan has
    dealt the patches to the ranks already.
    """

    def __init__(self, queue: PatchQueue) -> None:
        super().__init__(queue, num_replicas=1, rank=0, shuffle=False)
        self.queue, self.start = queue, 0

    def __iter__(self) -> Iterator[int]:
        start, self.start = self.start, 0
        self.queue.seek(self.epoch, start)
        return iter(range(start, len(self.queue)))

    def __len__(self) -> int:
        return len(self.queue)
