"""Blur and loss of resolution of one channel."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from lightning_brats.augment.separable import filtered, gaussian


def blur_(channel: Tensor, std: Sequence[float]) -> Tensor:
    """Gaussian blur in place, equal to `scipy.ndimage.gaussian_filter`.

    Args:
        channel: (X, Y, Z) float32.
        std: Standard deviations (x, y, z) in voxels.
    """
    lines = zip(channel.shape, std, strict=True)
    return channel.copy_(
        filtered(channel, [gaussian(n, s, device=channel.device) for n, s in lines])
    )


def coarsen_(channel: Tensor, zoom: Sequence[float]) -> Tensor:
    """Nearest neighbours on a coarse grid, then linear interpolation back, in place.

    Args:
        channel: (X, Y, Z) float32.
        zoom: Share of voxels kept along (x, y, z).
    """
    coarse = [max(1, round(n * z)) for n, z in zip(channel.shape, zoom, strict=True)]
    kept = F.interpolate(channel[None, None], coarse, mode="nearest-exact")
    return channel.copy_(F.interpolate(kept, channel.shape, mode="trilinear")[0, 0])
