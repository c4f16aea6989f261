"""Which layer's features a class activation map weights.

Shapes: C channels in, px py pz the window.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lightning_brats.errors import ConfigError
from lightning_brats.task import SegmentationTask

COARSEST = 8
"""Voxels along the longest axis of the coarsest grid that a class activation map is made on."""


def middle_layer(task: SegmentationTask, image: Tensor) -> str:
    """The last convolution on the coarsest grid that still has places to tell apart.

    Convolutions of one voxel are passed over where there are others: they are gates and heads.

    Args:
        task: The network.
        image: (1, C, px, py, pz).

    Raises:
        ConfigError: The network has no convolutions to choose from.
    """
    grids: dict[str, int] = {}

    def record(name: str, output: Tensor) -> None:
        grids.pop(name, None)
        grids[name] = max(output.shape[2:])

    hooks = [
        module.register_forward_hook(lambda m, i, output, name=name: record(name, output))
        for name, module in _convolutions(task.net)
    ]
    try:
        with torch.no_grad():
            task(image)
    finally:
        for hook in hooks:
            hook.remove()
    if not grids:
        raise ConfigError(
            f"{type(task.net).__name__} has no convolution to weight the features of",
            remedy="name a layer of it (layer=…); an exported network has none: use its checkpoint",
        )
    wide = {name: size for name, size in grids.items() if size >= COARSEST} or grids
    coarsest = min(wide.values())
    return [name for name, size in wide.items() if size == coarsest][-1]


def check_layer(task: SegmentationTask, layer: str, channels: int) -> None:
    """Nothing where features of such a module can be weighted; one window of zeros is tried.

    Args:
        task: The network.
        layer: Name of one of its modules.
        channels: That a window has.

    Raises:
        ConfigError: The network has none, never calls it, or gets no features on a grid from it.
    """
    listed = ", ".join([name for name, _ in _convolutions(task.net)][:8]) or "none"
    remedy = f"its convolutions are {listed}, …"
    if layer not in [name for name, _ in task.net.named_modules() if name]:
        raise ConfigError(f"the network has no layer '{layer}'", remedy=remedy)
    outputs: list[Any] = []
    module = task.net.get_submodule(layer)
    hook = module.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    try:
        with torch.no_grad():
            task(torch.zeros(1, channels, *task.inference.patch_size, device=task.device))
    finally:
        hook.remove()
    gridded = [isinstance(o, Tensor) and o.ndim == task.spatial_dims + 2 for o in outputs]
    if not outputs or not all(gridded):
        why = "gives no features on a grid" if outputs else "only holds others and is never called"
        raise ConfigError(f"the layer '{layer}' {why}", remedy=remedy)


def _convolutions(net: nn.Module) -> list[tuple[str, Any]]:
    """Names and convolutions; those of more than one voxel, if there are any."""
    every: list[tuple[str, Any]] = [
        (n, m) for n, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Conv3d)
    ]
    return [(n, m) for n, m in every if max(m.kernel_size) > 1] or every
