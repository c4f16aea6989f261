"""Slices of volumes: what their axes are called, and their neighbours as channels.

Prepared volumes have RAS+ axes, so slices along x are sagittal, along y coronal and along z axial.

Shapes: `C` modalities, `S` slices of a slab (a slice and its neighbours), `X Y Z` space.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from lightning_brats.errors import ConfigError

AXES = ("sagittal", "coronal", "axial")
"""What slices along x, y and z are called."""


def slice_axis(patch_size: Sequence[int]) -> int | None:
    """The axis along which a patch is one voxel deep, if any."""
    return next((axis for axis, size in enumerate(patch_size) if size == 1), None)


def across(sizes: Sequence[int], axis: int | None) -> tuple[int, ...]:
    """The size of a slice along another axis; the sides in its plane keep their order.

    Args:
        sizes: Of a slice, one of them 1, or of any patch.
        axis: That becomes 1; `None` leaves all as they are.
    """
    thin = slice_axis(sizes)
    if axis is None or thin is None:
        return tuple(sizes)
    plane = [size for number, size in enumerate(sizes) if number != thin]
    return (*plane[:axis], 1, *plane[axis:])


def typical_slice(shape: Sequence[int], axes: Sequence[int]) -> tuple[int, int, int]:
    """Size of a slice (X, Y, 1) that holds those of a volume of this shape along all these axes."""
    planes = [[size for number, size in enumerate(shape) if number != axis] for axis in axes]
    first, second = (max(sides) for sides in zip(*planes, strict=True))
    return first, second, 1


def slab_slices(neighbours: int) -> int:
    """S, the slices that a network sees of each modality."""
    return 2 * neighbours + 1


def neighbours_as_channels(slab: Tensor, axis: int, neighbours: int) -> Tensor:
    """Each slice with its neighbours, as channels of a two-dimensional network (2.5-D).

    Channel `c * S + s` is modality `c`, `s - neighbours` slices further along the axis.

    Args:
        slab: (C, X, Y, Z); its outermost slices along the axis are neighbours alone.
        axis: 0, 1 or 2.
        neighbours: Slices on either side.

    Returns:
        (C * S, ...) with `2 * neighbours` fewer slices along the axis.
    """
    if not neighbours:
        return slab
    return slab.unfold(1 + axis, slab_slices(neighbours), 1).movedim(-1, 1).flatten(0, 1)


def axis_numbers(axes: Sequence[str] | None, patch_size: Sequence[int], setting: str) -> list[int]:
    """Axes by number; where none is named, the one along which the patch is a slice, if any.

    Args:
        axes: Names out of `AXES`, or `None`.
        patch_size: (px, py, pz).
        setting: What names them, for messages.

    Raises:
        ConfigError: There is no such axis, one is named twice, or the patch is no slice.
    """
    thin = slice_axis(patch_size)
    if axes is None:
        return [] if thin is None else [thin]
    names = list(axes)
    if not names or not set(names) <= set(AXES) or len(set(names)) < len(names):
        raise ConfigError(
            f"{setting}={names}: one or more of {', '.join(AXES)} are needed, each once",
            remedy=f"for example {setting}=[axial,coronal,sagittal]",
        )
    if thin is None:
        raise ConfigError(
            f"{setting}={names} is for slices, but patch_size is {list(patch_size)}",
            remedy="queue=slices and model.spatial_dims=2 make slices",
        )
    return [AXES.index(name) for name in names]


def check_neighbours(neighbours: int, patch_size: Sequence[int], setting: str) -> None:
    """Refuse neighbours that there cannot be.

    Raises:
        ConfigError: Their number is negative, or the patch is no slice.
    """
    if neighbours < 0:
        raise ConfigError(f"{setting}={neighbours} is less than 0")
    if neighbours and slice_axis(patch_size) is None:
        raise ConfigError(
            f"{setting}={neighbours} is for slices, but patch_size is {list(patch_size)}",
            remedy="queue=slices and model.spatial_dims=2 make slices",
        )
