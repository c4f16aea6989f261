"""One case explained: maps on its prepared grid, and what each modality contributed.

Shapes: C modalities, R regions, x y z the prepared (cropped) volume, X Y Z the file's grid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from lightning_brats.data.case import Case
from lightning_brats.data.preprocess import Geometry
from lightning_brats.errors import ConfigError
from lightning_brats.explain.focus import Focus
from lightning_brats.explain.layers import check_layer
from lightning_brats.explain.maps import Progress, gate_maps, gradient_maps
from lightning_brats.explain.networks import Networks, joined
from lightning_brats.explain.occlusion import contributions
from lightning_brats.explain.saliency import need_captum
from lightning_brats.export.network import OnnxNetwork, ProgramNetwork
from lightning_brats.labels import region_masks
from lightning_brats.prediction.models import Model
from lightning_brats.slices import slab_slices


@dataclass(frozen=True)
class Explanation:
    """What was found out about a case.

    Args:
        case: Its identifier.
        region: Whose log-odds were explained.
        modalities: C names.
        image: (C, x, y, z) float32, as the network sees it.
        labels: (x, y, z) uint8, what it found.
        inside: (x, y, z) bool, the voxels whose mean log-odds were explained.
        focus: The window that gradients were computed in; of several networks, the first one's.
        geometry: The way to the file's grid.
        maps: Name → (x, y, z) float32: `attention_gate_1` (coarsest) and on, in [0, 1],
            of several networks `attention_gate_1_network_1` and on;
            `grad_cam` in [0, 1]; `integrated_gradients_<modality>` and their sum
            `integrated_gradients`, signed, in log-odds.
        contributions: See `occlusion.contributions`.
        notes: What a reader should know.
    """

    case: str
    region: str
    modalities: tuple[str, ...]
    image: np.ndarray
    labels: np.ndarray
    inside: np.ndarray
    focus: Focus
    geometry: Geometry
    maps: Mapping[str, np.ndarray]
    contributions: pd.DataFrame
    notes: tuple[str, ...]

    def on_file_grid(self, name: str) -> np.ndarray:
        """A map (X, Y, Z) on the grid of the case's file, 0 outside the crop."""
        return self.geometry.restore(self.maps[name])


def explain_case(
    model: Model | Sequence[Model],
    case: Case,
    region: str = "ET",
    steps: int = 32,
    layer: str | None = None,
    progress: Progress = lambda doing, done, total: None,
) -> Explanation:
    """Explain what a network, or several together, found in a case.

    Attention gates and modalities are looked at over the whole volume; gradients in the one window
    that holds most of the region. Of several networks, maps by gradients are means.

    Args:
        model: From `prediction.load_models`; one or more.
        case: With the network's modalities; with a mask, contributions are scored too.
        region: One of the network's.
        steps: Of the integrated gradients; more is more exact and takes longer.
        layer: Module of the network for Grad-CAM; by default see `layers.middle_layer`.
        progress: Told about each stage.

    Raises:
        ConfigError: There is no such region or layer, Captum is missing, a network has no
            gradients, or networks cannot be averaged.
        DataError: The case cannot be used.
    """
    models = [model] if isinstance(model, Model) else list(model)
    for one in models:
        _check(one, region, layer)
    networks = Networks(models, case)
    first = models[0]
    labels, soft = networks.segment()
    changes = contributions(
        first.modalities,
        first.task.regions,
        networks.images[0],
        networks.segment,
        (labels, soft),
        networks.prepared[0].mask,
        float(np.prod(networks.geometry.spacing)) / 1000,
        partial(progress, "modalities"),
    )
    inside, notes = _explained(labels, soft[first.task.regions.index(region)], region)
    own: list[list[str]] = [[f"{text}." for text in each.warnings] for each in networks.prepared]
    gates = gate_maps(networks, own, progress)
    focuses, maps = gradient_maps(networks, region, inside, (steps, layer), own, progress)
    return Explanation(
        case=case.case,
        region=region,
        modalities=first.modalities,
        image=networks.images[0].numpy(),
        labels=labels,
        inside=np.any([focus.placed(focus.inside) > 0 for focus in focuses], axis=0),
        focus=focuses[0],
        geometry=networks.geometry,
        maps=gates | maps,
        contributions=changes,
        notes=(*notes, *joined(own), *networks.notes()),
    )


def _check(model: Model, region: str, layer: str | None) -> None:
    task = model.task
    if region not in task.regions:
        raise ConfigError(
            f"the network has no region '{region}'", remedy=f"choose {', '.join(task.regions)}"
        )
    if isinstance(task.net, OnnxNetwork | ProgramNetwork):
        raise ConfigError(
            "an exported network has no layers and gradients to explain",
            file=model.checkpoint,
            remedy="name the checkpoint that it was exported from",
        )
    need_captum()
    if layer is not None:
        check_layer(task, layer, len(model.modalities) * slab_slices(task.inference.neighbours))


def _explained(labels: np.ndarray, soft: np.ndarray, region: str) -> tuple[np.ndarray, list[str]]:
    """The voxels to explain (x, y, z): the region as found, else where it is likeliest."""
    inside = region_masks(labels, [region])[0]
    if inside.any():
        return inside, []
    most = float(soft.max())
    note = (
        f"No {region} was found. Explained is where it is likeliest, "
        f"with a probability of up to {most:.2g}."
    )
    return soft >= 0.9 * most, [note]
