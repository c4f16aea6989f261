"""Which voxels a region's log-odds depend on, by Captum.

Shapes: C channels in, px py pz the window.
"""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from lightning_brats.errors import ConfigError
from lightning_brats.explain.focus import Focus, RegionLogOdds
from lightning_brats.task import SegmentationTask

EXTRA = "pip install -e '.[explain]'"


def need_captum() -> None:
    """Nothing where Captum is installed.

    Raises:
        ConfigError: It is not.
    """
    if find_spec("captum") is None:
        raise ConfigError("captum is not installed", remedy=EXTRA)


def integrated_gradients(
    task: SegmentationTask, region: str, focus: Focus, steps: int
) -> tuple[Tensor, float]:
    """Integrated gradients (Sundararajan et al., ICML 2017), from the blurred image to the image.

    The way does not begin at zero, as is usual: networks with instance norm say the same of an
    image and of its tenth, so all that counts would lie in the first step (Sturmfels et al.,
    Distill 2020, compare starts).

    Args:
        task: The network.
        region: Whose log-odds are shared out.
        focus: The window.
        steps: Points on the way, evaluated one at a time.

    Returns:
        (C, px, py, pz): the voxels' shares of the log-odds that sharpness adds to the image;
        and by how much, as a part of it, the shares' sum misses it.
    """
    need_captum()
    from captum.attr import IntegratedGradients

    explained = RegionLogOdds(task, region, focus.inside)
    start = blurred(focus.image)
    shares = IntegratedGradients(explained).attribute(
        focus.image, baselines=start, n_steps=steps, internal_batch_size=1
    )
    with torch.no_grad():
        difference = explained(focus.image) - explained(start)
    missed = float((shares.sum() - difference).abs() / difference.abs().clamp(min=1e-6))
    return shares[0].detach(), missed


def blurred(image: Tensor) -> Tensor:
    """A window (1, C, px, py, pz) without detail, by a Gaussian of an eighth of its longest edge.

    Only the brain, where any channel is not 0, takes part, and only it is changed.
    """
    values = image[0].cpu().numpy()
    brain = (values != 0).any(0).astype(np.float32)
    widest = max(brain.shape)
    sigma = [widest / 8 if size > 1 else 0 for size in brain.shape]
    weight = np.maximum(ndimage.gaussian_filter(brain, sigma), 1e-6)
    smooth = [ndimage.gaussian_filter(one, sigma) / weight * brain for one in values]
    return torch.from_numpy(np.stack(smooth)[None]).to(image)


def grad_cam(task: SegmentationTask, region: str, focus: Focus, layer: str) -> Tensor:
    """Grad-CAM (Selvaraju et al., ICCV 2017; for segmentation Vinogradova et al., AAAI 2020).

    Args:
        task: The network.
        region: Whose log-odds are explained.
        focus: The window.
        layer: Name of a module of the network whose features are weighted.

    Returns:
        (px, py, pz), 0 to 1: where features lie that speak for the region; all 0 where none does.
    """
    need_captum()
    from captum.attr import LayerGradCam

    explained = RegionLogOdds(task, region, focus.inside)
    method = LayerGradCam(explained, task.net.get_submodule(layer))
    coarse = method.attribute(focus.image, relu_attributions=True).detach()  # (1, 1, ...)
    size = focus.image.shape[2:]
    if coarse.ndim == 4:  # a two-dimensional network's
        plane = [length for length in size if length > 1]
        fine = F.interpolate(coarse, size=plane, mode="bilinear")
    else:
        fine = F.interpolate(coarse, size=size, mode="trilinear")
    fine = fine.reshape(size)
    return fine / fine.max().clamp(min=1e-12)
