"""Modalities that are not there."""

from __future__ import annotations

from torch import Tensor


def blank_(channel: Tensor, missing: bool) -> Tensor:
    """Set a channel to zero in place, which is what a network is shown where a modality lacks."""
    return channel.mul_(not missing)
