"""Maps of what networks look at, by name, on the grid of the prepared volume.

Shapes: C modalities, px py pz the window, x y z the volume.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from lightning_brats.explain.attention import attention_volumes, has_gates
from lightning_brats.explain.focus import Focus, make_focus
from lightning_brats.explain.layers import middle_layer
from lightning_brats.explain.networks import Networks
from lightning_brats.explain.occlusion import brain_of
from lightning_brats.explain.saliency import grad_cam, integrated_gradients
from lightning_brats.slices import slab_slices
from lightning_brats.task import SegmentationTask

GRADIENTS, CAM, GATE = "integrated_gradients", "grad_cam", "attention_gate"
"""Names of maps; gates, networks and modalities add theirs."""

Progress = Callable[[str, int, int], None]
"""Called with what is done, and how much of it: done, total."""


def gate_maps(
    networks: Networks, notes: Sequence[list[str]], progress: Progress
) -> dict[str, np.ndarray]:
    """Weights of every network's gates, on the volume's grid.

    Args:
        networks: And their case.
        notes: Of each network; get what a reader should know.
        progress: Told about each network.
    """
    maps: dict[str, np.ndarray] = {}
    total = len(networks.models)
    for number, (model, image) in enumerate(zip(networks.models, networks.images, strict=True)):
        if not has_gates(model.task.net):
            notes[number].append("There are no attention gates of this suite's U-Nets to show.")
            continue
        progress("attention gates", number, total)
        gates = attention_volumes(model.task, image.to(model.task.device), brain_of(image))
        ending = f"_network_{number + 1}" if total > 1 else ""
        maps |= {f"{GATE}_{level}{ending}": gate for level, gate in enumerate(gates, 1)}
    return maps


def gradient_maps(
    networks: Networks,
    region: str,
    inside: np.ndarray,
    how: tuple[int, str | None],
    notes: Sequence[list[str]],
    progress: Progress,
) -> tuple[list[Focus], dict[str, np.ndarray]]:
    """Each network's window, and means of the networks' maps by gradients.

    Args:
        networks: And their case.
        region: Whose log-odds are explained.
        inside: (x, y, z) bool, where.
        how: Steps and layer of `saliency_maps`.
        notes: Of each network; get what a reader should know.
        progress: Told about each network.
    """
    total, (steps, layer) = len(networks.models), how
    focuses: list[Focus] = []
    each: list[dict[str, np.ndarray]] = []
    for number, (model, image) in enumerate(zip(networks.models, networks.images, strict=True)):
        progress("gradients", number, total)
        focuses.append(make_focus(model.task, image, inside))
        each.append(
            saliency_maps(
                model.task, region, focuses[-1], model.modalities, steps, layer, notes[number]
            )
        )
    progress("gradients", total, total)
    return focuses, {name: np.mean([maps[name] for maps in each], axis=0) for name in each[0]}


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


def gate_captions(names: Iterable[str]) -> dict[str, str]:
    """Gates among the names of maps → captions; of several networks only each one's two ends.

    Args:
        names: Each network's gates from the coarsest to the finest; others are left out.
    """
    by_network: dict[str, list[tuple[str, str]]] = {}
    for name in [name for name in names if name.startswith(GATE)]:
        level, _, network = name.removeprefix(f"{GATE}_").partition("_network_")
        by_network.setdefault(network, []).append((level, name))
    captions = {}
    for network, gates in by_network.items():
        ends = {gates[0][0]: "\n(coarsest)", gates[-1][0]: "\n(finest)"}
        for level, name in gates:
            if not network or level in ends:
                whose = f"network {network},\n" if network else ""
                captions[name] = f"{whose}attention gate {level}{ends.get(level, '')}"
    return captions
