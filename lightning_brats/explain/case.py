"""One case explained: maps on its prepared grid, and what each modality contributed.

Shapes: C modalities, R regions, x y z the prepared (cropped) volume, X Y Z the file's grid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch

from lightning_brats.data.case import Case
from lightning_brats.data.preprocess import Geometry, Prepared
from lightning_brats.errors import ConfigError
from lightning_brats.explain.attention import attention_volumes, has_gates
from lightning_brats.explain.focus import Focus, make_focus
from lightning_brats.explain.occlusion import brain_of, contributions, segment
from lightning_brats.explain.saliency import (
    check_layer,
    grad_cam,
    integrated_gradients,
    middle_layer,
    need_captum,
)
from lightning_brats.export.network import OnnxNetwork
from lightning_brats.labels import region_masks
from lightning_brats.prediction.models import Model
from lightning_brats.prediction.segmenter import Segmenter
from lightning_brats.slices import slab_slices
from lightning_brats.task import SegmentationTask

GRADIENTS, CAM, GATE = "integrated_gradients", "grad_cam", "attention_gate"
"""Names of maps; gates and modalities add theirs."""

Progress = Callable[[str, int, int], None]
"""Called with what is done, and how much of it: done, total."""


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
        focus: The window that gradients were computed in.
        geometry: The way to the file's grid.
        maps: Name → (x, y, z) float32: `attention_gate_1` (coarsest) and on, in [0, 1];
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
    model: Model,
    case: Case,
    region: str = "ET",
    steps: int = 32,
    layer: str | None = None,
    progress: Progress = lambda doing, done, total: None,
) -> Explanation:
    """Explain what a network found in a case.

    Attention gates and modalities are looked at over the whole volume; gradients in the one window
    that holds most of the region.

    Args:
        model: From `prediction.load_models`.
        case: With the network's modalities; with a mask, contributions are scored too.
        region: One of the network's.
        steps: Of the integrated gradients; more is more exact and takes longer.
        layer: Module of the network for Grad-CAM; by default see `saliency.middle_layer`.
        progress: Told about each stage.

    Raises:
        ConfigError: There is no such region or layer, Captum is missing, or the network has no
            gradients.
        DataError: The case cannot be used.
    """
    task = model.task
    _check(task, region, layer)
    (prepared,) = Segmenter([model]).prepare(case)
    image = torch.from_numpy(prepared.image).float()
    brain = brain_of(image)
    spacing = prepared.geometry.spacing
    run = partial(segment, model, brain=brain, spacing=spacing)
    labels, soft = run(image)
    changes = contributions(
        model.modalities,
        task.regions,
        image,
        run,
        (labels, soft),
        prepared.mask,
        float(np.prod(spacing)) / 1000,
        partial(progress, "modalities"),
    )
    inside, notes = _explained(labels, soft[task.regions.index(region)], region)
    maps = _gates(task, image, brain, notes, progress)
    progress("gradients", 0, 1)
    focus = make_focus(task, image, inside)
    maps |= saliency_maps(task, region, focus, model.modalities, steps, layer, notes)
    progress("gradients", 1, 1)
    return Explanation(
        case=case.case,
        region=region,
        modalities=model.modalities,
        image=image.numpy(),
        labels=labels,
        inside=focus.placed(focus.inside) > 0,
        focus=focus,
        geometry=prepared.geometry,
        maps=maps,
        contributions=changes,
        notes=(*_warnings(prepared), *notes),
    )


def _gates(
    task: SegmentationTask,
    image: torch.Tensor,
    brain: torch.Tensor,
    notes: list[str],
    progress: Progress,
) -> dict[str, np.ndarray]:
    if not has_gates(task.net):
        notes.append("The network has no attention gates of this suite's U-Nets to show.")
        return {}
    progress("attention gates", 0, 1)
    gates = attention_volumes(task, image.to(task.device), brain)
    return {f"{GATE}_{number}": gate for number, gate in enumerate(gates, 1)}


def saliency_maps(
    task: SegmentationTask,
    region: str,
    focus: Focus,
    modalities: tuple[str, ...],
    steps: int = 32,
    layer: str | None = None,
    notes: list[str] | None = None,
) -> dict[str, np.ndarray]:
    """Maps by gradients, on the volume's grid: see `Explanation`.

    Args:
        task: The network.
        region: Whose log-odds are explained.
        focus: The window.
        modalities: C names.
        steps: Of the integrated gradients.
        layer: For Grad-CAM.
        notes: Gets what a reader should know.
    """
    notes = [] if notes is None else notes
    shares, missed = integrated_gradients(task, region, focus, steps)
    notes.append(
        f"Integrated gradients, from the blurred image to the image in {steps} steps, miss the "
        f"difference between the two by {100 * missed:.1f} %."
    )
    slices = slab_slices(task.inference.neighbours)
    each = shares.unflatten(0, (len(modalities), slices)).sum(1)  # (C, px, py, pz)
    chosen = layer or middle_layer(task, focus.image)
    cam = grad_cam(task, region, focus, chosen)
    if not bool(cam.any()):
        notes.append(f"Grad-CAM is 0: no feature of the layer {chosen} speaks for {region}.")
    else:
        notes.append(f"Grad-CAM weights the features of the layer {chosen}.")
    named = zip(modalities, each, strict=True)
    return {
        GRADIENTS: focus.placed(each.sum(0)),
        **{f"{GRADIENTS}_{modality}": focus.placed(one) for modality, one in named},
        CAM: focus.placed(cam),
    }


def _check(task: SegmentationTask, region: str, layer: str | None) -> None:
    if region not in task.regions:
        raise ConfigError(
            f"the network has no region '{region}'", remedy=f"choose {', '.join(task.regions)}"
        )
    if isinstance(task.net, OnnxNetwork):
        raise ConfigError(
            "an ONNX file has no gradients to explain",
            remedy="name the checkpoint that it was exported from",
        )
    need_captum()
    if layer is not None:
        check_layer(task, layer)


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


def _warnings(prepared: Prepared) -> list[str]:
    return [f"{text}." for text in prepared.warnings]
