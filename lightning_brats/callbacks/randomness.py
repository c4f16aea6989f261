"""Random numbers that go on where a run stopped."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch


class RandomState(pl.Callback):
    """Keeps torch's generators of every rank, so that dropout goes on where it stopped."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Each rank's generators of the CPU and of its GPU; all ranks must ask together."""
        own = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            own["cuda"] = torch.cuda.get_rng_state()
        ranks = [own]
        if torch.distributed.is_initialized():
            ranks = [{} for _ in range(torch.distributed.get_world_size())]
            torch.distributed.all_gather_object(ranks, own)
        return {"ranks": ranks}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Kept until the first step, because starting up draws random numbers too.

        A run that goes on with more ranks than before leaves the new ones' generators as seeded.
        """
        started = torch.distributed.is_initialized()
        rank = torch.distributed.get_rank() if started else 0
        ranks = state_dict["ranks"]
        self._loaded = ranks[rank] if rank < len(ranks) else None

    def on_train_batch_start(self, *args: Any) -> None:
        """Put the generators back, once."""
        if self._loaded is None:
            return
        torch.set_rng_state(self._loaded["cpu"].cpu())
        if torch.cuda.is_available() and "cuda" in self._loaded:
            torch.cuda.set_rng_state(self._loaded["cuda"].cpu())
        self._loaded = None
