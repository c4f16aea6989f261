"""Keeping what lies outside the brain at zero, as it is in every volume that is predicted."""

from __future__ import annotations

import torch
import torchio as tio
from torch import Tensor

from lightning_brats.data.transforms.channels import single_precision

BRAIN = "brain"


class MarkBrain(tio.IntensityTransform):
    """Remember in a label map where any channel of any image differs from zero."""

    def apply_transform(self, subject: tio.Subject) -> tio.Subject:
        """Add the label map `brain`; spatial transforms that follow carry it along."""
        marked: Tensor | None = None
        for image in self.get_images(subject):
            for channel in image.data:
                marked = channel != 0 if marked is None else marked.logical_or_(channel != 0)
        if marked is not None:
            subject.add_image(tio.LabelMap(tensor=marked[None].to(torch.uint8)), BRAIN)
        return subject


class ClearBackground(tio.IntensityTransform):
    """Set images to zero where `MarkBrain` found nothing, and drop its label map."""

    def apply_transform(self, subject: tio.Subject) -> tio.Subject:
        """Clear in place."""
        if BRAIN not in subject:
            return subject
        # A product is several times faster than filling.
        inside = subject.get_image(BRAIN).data.float()
        for image in self.get_images(subject):
            image.set_data(single_precision(image).mul_(inside))
        subject.remove_image(BRAIN)
        return subject
