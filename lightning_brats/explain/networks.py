"""One network or several used together, and a case as each of them sees it.

Shapes: C modalities, K outputs, R regions, x y z the prepared (cropped) volume.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lightning_brats.data.case import Case
from lightning_brats.errors import ConfigError
from lightning_brats.explain.occlusion import brain_of, taken_away
from lightning_brats.postprocess import region_probabilities
from lightning_brats.prediction.models import Model
from lightning_brats.prediction.segmenter import Segmenter


class Networks:
    """Networks whose probabilities are averaged, with a case prepared for each.

    Args:
        models: One or more, of the same modalities and regions.
        case: What they look at.

    Raises:
        ConfigError: Their masks lie on different grids, or their post-processing differs.
        DataError: The case cannot be used.
    """

    def __init__(self, models: Sequence[Model], case: Case) -> None:
        segmenter = Segmenter(models)
        self.models, self.head = segmenter.models, segmenter.head
        self.prepared = segmenter.prepare(case)
        self.geometry = self.prepared[0].geometry
        if any(each.geometry != self.geometry for each in self.prepared):
            raise ConfigError(
                "the networks prepare the case on different grids, so their maps have no mean",
                remedy="explain one of them at a time",
            )
        self.images = [torch.from_numpy(each.image).float() for each in self.prepared]

    def segment(self, without: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Labels (x, y, z) and probabilities of the regions (R, x, y, z), together.

        Args:
            without: A modality that is taken away; by default none.
        """
        each = [
            self._probabilities(model, image, without)
            for model, image in zip(self.models, self.images, strict=True)
        ]
        mean = sum(each[1:], each[0]) / len(each)
        first = self.models[0]
        regions = first.task.regions
        labels = first.postprocess(mean, self.geometry.spacing, regions, self.head)
        return labels, np.stack(region_probabilities(mean, regions, self.head))

    def notes(self) -> list[str]:
        """What a reader should know of them."""
        instead = "; ".join(
            dict.fromkeys(
                "0, as where one was missing in training"
                if model.tolerates_missing
                else "its mean in the brain"
                for model in self.models
            )
        )
        found = [f"In place of a modality that was taken away stood {instead}."]
        if len(self.models) > 1:
            named = "; ".join(
                f"{number} is {Path(*model.checkpoint.parts[-4:])}"
                for number, model in enumerate(self.models, 1)
            )
            found.append(
                f"Grad-CAM and integrated gradients are means over {len(self.models)} networks, "
                "volumes and probabilities those of the networks together, and attention gates "
                f"each network's own. Network {named}."
            )
        return found

    def _probabilities(self, model: Model, image: Tensor, without: int | None) -> np.ndarray:
        """A network's (K, x, y, z), in terms of the head that all share."""
        task, brain = model.task, brain_of(image)
        if without is not None:
            image = taken_away(image, without, model.tolerates_missing)
        soft = task.inference(task, image.to(task.device), task.head, brain).cpu().numpy()
        if task.head == self.head:
            return soft
        return np.stack(region_probabilities(soft, task.regions, task.head))


def joined(notes: Sequence[Sequence[str]]) -> list[str]:
    """Notes of each network: those of all once, others with the number of their network."""
    shared = [text for text in notes[0] if all(text in other for other in notes)]
    return shared + [
        f"Network {number}: {text}"
        for number, texts in enumerate(notes, 1)
        for text in texts
        if text not in shared
    ]
