"""Sums over a coarse grid and filters, one axis after the other, as matrix products.

A three-dimensional filter or expansion whose kernel is a product of one-dimensional ones is a small
matrix along each axis. On one CPU thread these products are several times faster than convolutions
or general resampling.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def expand(coefficients: Tensor, bases: Sequence[Tensor]) -> Tensor:
    """Σ_ijk c[i, j, k] Bx[x, i] By[y, j] Bz[z, k].

    Args:
        coefficients: (I, J, K, ...).
        bases: (X, I), (Y, J) and (Z, K).

    Returns:
        (X, Y, Z, ...).
    """
    result = coefficients
    for basis in reversed(bases):  # each product turns the last of the three axes to the front
        result = torch.tensordot(basis, result, dims=([1], [2]))
    return result


def filtered(volume: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    """Volume (X, Y, Z) with a square matrix applied along each axis."""
    along_x, along_y, along_z = matrices
    result = volume @ along_z.T
    result = torch.matmul(along_y, result)
    return (along_x @ result.reshape(len(along_x), -1)).reshape(volume.shape)


def gaussian(
    size: int, std: float, truncate: float = 4.0, device: torch.device | str = "cpu"
) -> Tensor:
    """Gaussian filter of a line as a matrix (size, size), mirrored at both ends.

    Equal to `scipy.ndimage.gaussian_filter1d` with its default settings, which TorchIO uses.

    Args:
        size: Voxels in the line.
        std: Standard deviation in voxels.
        truncate: Half-width of the kernel in standard deviations.
        device: Where it is made.
    """
    if size == 1 or std == 0:
        return torch.eye(size, device=device)
    radius = int(truncate * std + 0.5)
    offsets = torch.arange(-radius, radius + 1, device=device)
    weights = torch.exp(-0.5 * (offsets.double() / std) ** 2)
    weights /= weights.sum()
    source = (torch.arange(size, device=device)[:, None] + offsets) % (2 * size)
    source = torch.where(source < size, source, 2 * size - 1 - source)  # c b a | a b c | c b a
    matrix = torch.zeros(size, size, dtype=torch.float64, device=device)
    matrix.scatter_add_(1, source, weights.expand(size, -1))
    return matrix.float()


def linear(size: int) -> Tensor:
    """Weights (size, 2) that go evenly from the first of two values to the second."""
    share = torch.linspace(0, 1, size, dtype=torch.float64)
    return torch.stack([1 - share, share], 1)


def cubic_spline(size: int, control_points: int) -> Tensor:
    """Uniform cubic B-splines at voxel centres, (size, control_points).

    The line of voxels spans `control_points - 3` cells; the first and last control point lie one
    cell outside, as in ITK's and TorchIO's free-form deformation.
    """
    cells = control_points - 3
    place = (torch.arange(size, dtype=torch.float64) + 0.5) / size * cells
    cell = place.floor().clamp(max=cells - 1)
    u = (place - cell)[:, None]
    weights = torch.cat(
        [
            (1 - u) ** 3,
            3 * u**3 - 6 * u**2 + 4,
            -3 * u**3 + 3 * u**2 + 3 * u + 1,
            u**3,
        ],
        1,
    )
    basis = torch.zeros(size, control_points, dtype=torch.float64)
    basis.scatter_(1, cell[:, None].long() + torch.arange(4), weights / 6)
    return basis


def powers(size: int, order: int, device: torch.device | str = "cpu") -> Tensor:
    """Powers 0 … order of a line's coordinate, which runs from -1 to 1; (size, order + 1)."""
    centred = torch.arange(size, dtype=torch.float64, device=device) - (size - 1) / 2
    line = centred / max((size - 1) / 2, 1)
    return line[:, None] ** torch.arange(order + 1, device=device)
