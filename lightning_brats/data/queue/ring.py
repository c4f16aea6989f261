"""Memory that the trainer and its workers share, without files and without `/dev/shm`.

Shapes: `C` modalities, `px py pz` the patch.
"""

from __future__ import annotations

import math
import mmap
import shutil
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor


class Ring:
    """Slots for patches in memory that all processes see.

    Args:
        slots: Patches it holds.
        channels: Modalities, C.
        patch_size: (px, py, pz).
        workers: Processes that note here what they are at.
    """

    def __init__(self, slots: int, channels: int, patch_size: Sequence[int], workers: int) -> None:
        self.image = _shared((slots, channels, *patch_size), torch.float16)
        self.mask = _shared((slots, 1, *patch_size), torch.uint8)
        self.generation = _shared((1,), torch.int64)
        self.current = _shared((workers,), torch.int64).fill_(-1)

    def __len__(self) -> int:
        return len(self.image)


def _shared(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Zeros that forked processes share, or, where there is no fork, that can be sent to them."""
    if sys.platform != "linux":
        return torch.zeros(tuple(shape), dtype=dtype).share_memory_()
    memory = mmap.mmap(-1, math.prod(shape) * dtype.itemsize)
    return torch.frombuffer(memory, dtype=dtype).reshape(tuple(shape))


def has_room_to_share(size: int) -> bool:
    """Whether processes can send each other tensors of `size` bytes; says so where they cannot.

    PyTorch sends them through `/dev/shm`. The ring does not need it.
    """
    folder = Path("/dev/shm")
    if not folder.exists() or shutil.disk_usage(folder).free >= size:
        return True
    warnings.warn(
        f"/dev/shm has less than {size / 2**20:.0f} MB left: whole volumes are read by the trainer "
        "itself, which is slower; a container gets more with, for example, docker --shm-size=2g",
        stacklevel=3,
    )
    return False
