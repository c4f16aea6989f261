"""Blur and loss of resolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torchio as tio

from lightning_brats import augment
from lightning_brats.data.transforms.channels import ByChannel, Drawing, RandomByChannel, Values

Triple = tuple[float, float, float]


class GaussianBlur(ByChannel):
    """Gaussian blur, equal to `scipy.ndimage.gaussian_filter`.

    Args:
        std: For each channel the standard deviations (x, y, z) in voxels.
        **kwargs: Of `torchio.Transform`.
    """

    def __init__(self, std: Values, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.std = std
        self.args_names = ["std"]

    change = staticmethod(augment.blur_)
    in_plane = True


class RandomGaussianBlur(RandomByChannel):
    """Gaussian blur, drawn for each channel and axis.

    A fast `torchio.RandomBlur` that may leave channels sharp.

    Args:
        std: Range of the standard deviation in voxels; one number is the upper end.
        p_per_channel: Probability for each channel.
        **kwargs: Of `torchio.Transform`.
    """

    applies = GaussianBlur

    def __init__(
        self, std: float | Sequence[float] = (0, 2), p_per_channel: float = 1, **kwargs: Any
    ) -> None:
        super().__init__(p_per_channel, **kwargs)
        self.std_ranges = self.parse_params(std, None, "std", min_constraint=0)

    def get_params(self) -> Triple:
        """Standard deviation along each axis, in voxels."""
        return self.sample_uniform_sextet(self.std_ranges)


class LowResolution(ByChannel):
    """Nearest neighbours on a coarse grid, then linear interpolation back.

    Args:
        zoom: For each channel the share of voxels kept along (x, y, z).
        **kwargs: Of `torchio.Transform`.
    """

    def __init__(self, zoom: Values, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.zoom = zoom
        self.args_names = ["zoom"]

    change = staticmethod(augment.coarsen_)
    in_plane = True


class RandomLowResolution(RandomByChannel):
    """A coarse acquisition: fewer voxels along all axes, interpolated back.

    nnU-Net's simulation of low resolution.

    Args:
        zoom: Range of the share of voxels kept along each axis.
        p_per_channel: Probability for each channel.
        **kwargs: Of `torchio.Transform`.
    """

    applies = LowResolution

    def __init__(
        self, zoom: Sequence[float] = (0.5, 1), p_per_channel: float = 1, **kwargs: Any
    ) -> None:
        super().__init__(p_per_channel, **kwargs)
        self.zoom_range = self.parse_range(zoom, "zoom", 0, 1)

    def get_params(self) -> Triple:
        """The same share for all axes."""
        zoom = self.sample_uniform(*self.zoom_range)
        return zoom, zoom, zoom


class RandomThickSlices(Drawing, tio.IntensityTransform):
    """Thick slices along one axis, interpolated back; all channels alike.

    A fast `torchio.RandomAnisotropy` that never chooses the thin axis of a slice.

    Args:
        axes: Axes of which one is chosen.
        downsampling: Range of the slices' thickness in voxels.
        **kwargs: Of `torchio.Transform`.
    """

    def __init__(
        self,
        axes: Sequence[int] = (0, 1, 2),
        downsampling: float | Sequence[float] = (1.5, 5),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.axes = tio.RandomAnisotropy.parse_axes(tuple(axes))
        self.downsampling_range = self.parse_range(downsampling, "downsampling", 1)

    def get_params(self, shape: Sequence[int]) -> Triple:
        """Share of voxels kept along each axis."""
        axes = [axis for axis in self.axes if shape[axis] > 1]
        zoom = [1.0, 1.0, 1.0]
        if axes:
            axis = axes[int(torch.randint(len(axes), (1,)))]
            zoom[axis] = 1 / self.sample_uniform(*self.downsampling_range)
        return zoom[0], zoom[1], zoom[2]

    def drawn(self, images: Mapping[str, Sequence[int]]) -> LowResolution:
        """The same share for all channels of an image."""
        values = {name: [self.get_params(s[1:])] * s[0] for name, s in images.items()}
        return LowResolution(values, **self.passed_on())
