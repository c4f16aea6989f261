"""The positions of an epoch, as Lightning wants them, and as a checkpoint keeps them.

A checkpoint counts the patches of all ranks, so that another number of them can go on with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch.utils.data import DistributedSampler

from lightning_brats.data.queue.patch_queue import PatchQueue
from lightning_brats.data.sampling import PatchPlan
from lightning_brats.errors import ConfigError


class PositionSampler(DistributedSampler):
    """Positions of the current epoch, in order; Lightning tells it the epoch.

    It is a `DistributedSampler` only by name, so that Lightning leaves it in place: the plan has
    dealt the patches to the ranks already.
    """

    def __init__(self, queue: PatchQueue) -> None:
        super().__init__(queue, num_replicas=1, rank=0, shuffle=False)
        self.queue, self._place = queue, (0, 0)

    def go_on(self, epoch: int, position: int) -> None:
        """Start at a position of an epoch; another epoch starts at its first."""
        self.set_epoch(epoch)
        self._place = (epoch, position)

    def __iter__(self) -> Iterator[int]:
        epoch, position = self._place
        start = position if epoch == self.epoch else 0
        self._place = (0, 0)
        self.queue.seek(self.epoch, start)
        return iter(range(start, len(self.queue)))

    def __len__(self) -> int:
        return len(self.queue)


def kept(queue: PatchQueue) -> dict[str, Any]:
    """Where a queue stands: epoch and position of the next step, and the patches of a step."""
    epoch, position = queue.position
    world = queue.plan.world
    return {"queue": (epoch, position * world), "joint": queue.plan.batch_size * world}


def restored(state: Mapping[str, Any], plan: PatchPlan) -> tuple[int, int]:
    """Epoch and position at which a plan goes on.

    Args:
        state: From `kept`; in older checkpoints the position counts one rank's patches, and that
            of a step is missing.
        plan: Of this rank.

    Raises:
        ConfigError: A step would be made from another number of patches than before.
    """
    epoch, position = state["queue"]
    joint, now = state.get("joint"), plan.batch_size * plan.world
    if joint is None:
        return epoch, position
    if joint != now:
        raise ConfigError(
            f"the run to go on with takes {joint} patches in a step, and now it would take {now} "
            f"({plan.world} × {plan.batch_size}): epochs and learning rates would not be the same",
            remedy=f"keep the number of processes × queue.batch_size at {joint}",
        )
    return epoch, position // plan.world
