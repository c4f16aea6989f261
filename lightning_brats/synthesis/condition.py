"""What the generator is told: the tumour's labels, tissue, noise, and the image around the hole.

The hole is the tumour and a margin. Inside it the image is hidden; what is known there are labels
and, where no tumour is, which of three kinds of tissue a voxel holds.

Shapes: `B` batch, `C` modalities, `T` kinds of tissue, `L` labels, `X Y Z` space.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_brats.labels import TISSUES

LABELS = len(TISSUES) - 1
KINDS = 3
"""Fluid, grey and white matter, as clusters of intensities."""
HEALTHY_HOLES = 2
"""Holes in healthy tissue that are filled in training, because hosts lose their own tumours."""
RADIUS = (0.08, 0.25)
"""Of these, as shares of the patch's shortest side."""


def input_channels(modalities: int) -> int:
    """Channels of `View.condition`."""
    return LABELS + KINDS + 2 + modalities


def judged_channels(modalities: int) -> int:
    """Channels of `View.judged`."""
    return LABELS + KINDS + 1 + modalities


@dataclass(frozen=True)
class View:
    """Volumes or patches of which a part is hidden.

    Args:
        image: (B, C, X, Y, Z), 0 outside the brain; inside the hole it is never looked at.
        labels: (B, L, X, Y, Z) 0 or 1.
        kinds: (B, T, X, Y, Z) 0 or 1; all 0 in tumours and outside the brain.
        hole: (B, 1, X, Y, Z) bool.
    """

    image: Tensor
    labels: Tensor
    kinds: Tensor
    hole: Tensor

    def condition(self, noise: Tensor) -> Tensor:
        """(B, K, X, Y, Z) for the generator.

        Args:
            noise: (B, 1, X, Y, Z), for texture that nothing else determines.
        """
        around = self.image.masked_fill(self.hole, 0)
        return torch.cat((self.labels, self.kinds, self.hole.float(), noise, around), 1)

    def expected(self, colours: Tensor) -> Tensor:
        """The mean intensities of what each voxel holds (B, C, X, Y, Z).

        Args:
            colours: (L + T, C), of each label and each kind of tissue.
        """
        what = torch.cat((self.labels, self.kinds), 1)
        return torch.einsum("bkxyz,kc->bcxyz", what, colours)

    def filled(self, generated: Tensor) -> Tensor:
        """The image with the generated one (B, C, X, Y, Z) in its hole."""
        return torch.where(self.hole, generated, self.image)

    def judged(self, image: Tensor) -> Tensor:
        """What the discriminator sees of an image (B, C, X, Y, Z)."""
        return torch.cat((image, self.labels, self.kinds, self.hole.float()), 1)


def one_hot(labels: Tensor) -> Tensor:
    """Internal labels (B, 1, X, Y, Z) → (B, L, X, Y, Z) of the labels from 1 on."""
    values = torch.arange(1, LABELS + 1, device=labels.device).view(1, -1, 1, 1, 1)
    return (labels == values).float()


def kinds_of(image: Tensor, centres: Tensor) -> Tensor:
    """The nearest centre of each brain voxel.

    Args:
        image: (B, C, X, Y, Z).
        centres: (T, C).

    Returns:
        (B, T, X, Y, Z), all 0 outside the brain.
    """
    distances = torch.stack(
        [(image - centre.view(1, -1, 1, 1, 1)).square().sum(1) for centre in centres], 1
    )
    nearest = F.one_hot(distances.argmin(1), len(centres)).movedim(-1, 1)
    return (nearest * brain_of(image)).float()


def brain_of(image: Tensor) -> Tensor:
    """(B, 1, X, Y, Z) bool: where any modality is not 0."""
    return (image != 0).any(1, keepdim=True)


def widened(mask: Tensor, margin: int) -> Tensor:
    """(B, 1, X, Y, Z) bool, a cube of `margin` voxels to each side around each voxel of a mask."""
    return F.max_pool3d(mask.float(), 2 * margin + 1, 1, margin) > 0


def healthy_holes(shape: torch.Size, device: torch.device) -> Tensor:
    """Random balls (B, 1, X, Y, Z) bool, from torch's global generator."""
    batch, space = shape[0], shape[2:]
    axes = torch.meshgrid(*(torch.arange(n, device=device) for n in space), indexing="ij")
    grid = torch.stack(axes).float()
    low, high = (share * min(space) for share in RADIUS)
    out = torch.zeros((batch, 1, *space), dtype=torch.bool, device=device)
    for sample in out:
        for _ in range(HEALTHY_HOLES):
            centre, radius = torch.rand(3), low + (high - low) * float(torch.rand(()))
            centre = (centre * torch.tensor(space)).to(device).view(3, 1, 1, 1)
            sample |= ((grid - centre).square().sum(0) < radius**2)[None]
    return out


def view(image: Tensor, labels: Tensor, centres: Tensor, margin: int, holes: Tensor | None) -> View:
    """A case, or patch, whose tumour is to be filled in again.

    Args:
        image: (B, C, X, Y, Z).
        labels: (B, 1, X, Y, Z) internal labels.
        centres: (T, C) of the kinds of tissue.
        margin: Voxels around the tumour.
        holes: (B, 1, X, Y, Z) further ones.
    """
    tumour = labels > 0
    hole = widened(tumour, margin)
    hole = hole if holes is None else hole | holes
    kinds = kinds_of(image, centres).masked_fill(tumour, 0)
    return View(image, one_hot(labels), kinds, hole & brain_of(image))
