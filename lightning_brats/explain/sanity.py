"""Whether maps depend on what the network learned (Adebayo et al., NeurIPS 2018).

Many saliency maps look convincing because they show the image's edges. Such maps stay alike when
the weights are drawn anew; a map that explains the network does not.

Shapes: x y z a volume.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from scipy import stats

from lightning_brats.explain.attention import attention_volumes, has_gates
from lightning_brats.explain.case import Explanation
from lightning_brats.explain.layers import middle_layer
from lightning_brats.explain.maps import GATE, saliency_maps
from lightning_brats.task import SegmentationTask


def randomised(task: SegmentationTask, seed: int = 0) -> SegmentationTask:
    """The same network with all its weights drawn anew.

    Args:
        task: Stays as it is.
        seed: Of the draw; torch's own random state stays as it is too.
    """
    other = copy.deepcopy(task)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for module in other.net.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
    return other.eval()


def rank_correlation(first: np.ndarray, second: np.ndarray, inside: np.ndarray) -> float:
    """Spearman's correlation of two maps' magnitudes (x, y, z) over the voxels of a mask.

    1 says that the maps rank all voxels alike, 0 that they have nothing in common; so has a map
    that is the same everywhere.
    """
    pair = [np.abs(values[inside]) for values in (first, second)]
    if min(np.ptp(values) for values in pair) == 0:
        return 0.0
    return float(stats.spearmanr(*pair).statistic)


def sanity_check(
    task: SegmentationTask, found: Explanation, steps: int = 32, layer: str | None = None
) -> dict[str, float]:
    """Rank correlation of an explanation's maps with those of the same network, drawn anew.

    Args:
        task: The network that was explained.
        found: Its explanation.
        steps: Of the integrated gradients.
        layer: For Grad-CAM, as for the explanation.

    Returns:
        Map → correlation within the brain in the explained window; near 0 is as it should be.
    """
    other = randomised(task)
    image = torch.from_numpy(found.image)
    brain = (image != 0).any(0)
    chosen = layer or middle_layer(task, found.focus.image)
    maps = saliency_maps(other, found.region, found.focus, found.modalities, steps, chosen)
    if has_gates(task.net):
        gates = attention_volumes(other, image.to(task.device), brain)
        maps |= {f"{GATE}_{number}": gate for number, gate in enumerate(gates, 1)}
    inside = np.zeros(brain.shape, bool)
    inside[found.focus.box] = brain.numpy()[found.focus.box]
    return {name: rank_correlation(own, maps[name], inside) for name, own in found.maps.items()}
