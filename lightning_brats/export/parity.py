"""Whether an exported network says the same as its checkpoint, on a volume like real ones.

Shapes: C modalities, x y z a cropped volume.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lightning_brats.data.case import Case, ImageRef, Volume
from lightning_brats.data.phantom import make_case
from lightning_brats.data.preprocess import Preprocess
from lightning_brats.labels import MODALITIES, SCHEMES
from lightning_brats.task import SegmentationTask

TOLERANCE = 1e-3
"""Largest difference of a probability that is accepted."""
SPACING = 3.0
"""mm; a coarse head is made and segmented in a moment, and has the intensities of a fine one."""


def phantom_volume(task: SegmentationTask) -> Tensor:
    """A made-up patient (C, x, y, z), prepared as in training.

    Modalities that the phantom does not have are shown one that it has.
    """
    patient = make_case(0, spacing=SPACING)
    names = list(task.context["modalities"])
    shown = [name if name in MODALITIES else MODALITIES[i % 4] for i, name in enumerate(names)]
    image = np.stack([patient.image[MODALITIES.index(name)] for name in shown]).astype(np.float32)
    refs = {name: ImageRef(Path("phantom")) for name in names}
    case = Case("phantom", "phantom", refs, SCHEMES["brats2023"])
    volume = Volume(image, patient.affine, None, (image != 0).any(0))
    prepared = Preprocess.from_dict(task.context["preprocess"])(case, volume)
    return torch.from_numpy(prepared.image)


def largest_difference(first: SegmentationTask, second: SegmentationTask, image: Tensor) -> float:
    """Largest difference of any probability of a volume (C, x, y, z), in single precision."""
    window = replace(first.inference, precision="32", tta="none")
    soft = [window(task, image, task.head) for task in (first, second)]
    return float((soft[0] - soft[1]).abs().max())
