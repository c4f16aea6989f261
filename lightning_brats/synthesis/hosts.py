"""A patient's brain made ready to receive another tumour: its own is taken out.

What lay under it nobody knows; the tissue opposite, in the other half of the brain, is the guess,
and where that is tumour or not brain the nearest known one.

Shapes: `C` modalities, `T` kinds of tissue, `x y z` a prepared volume whose first axis runs from
left to right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from lightning_brats.data.cache import CachedCase
from lightning_brats.synthesis.condition import View, kinds_of, one_hot, widened
from lightning_brats.synthesis.variation import Ground

VENTRICLE = 2.0
"""Standard deviation in mm of the smoothing that tells ventricles from thin sulci."""
GREY = 0.1
"""Cost of grey matter: gliomas lie in white matter rather."""


@dataclass(frozen=True)
class Host:
    """A prepared case without its tumour.

    Args:
        image: (C, x, y, z) float32.
        own: (x, y, z) bool: where its own tumour was.
        kinds: (T, x, y, z) bool, one of them in each voxel of the brain; fluid is the first.
        spacing: In mm.
    """

    image: np.ndarray
    own: np.ndarray
    kinds: np.ndarray
    spacing: tuple[float, float, float]

    @classmethod
    def of(cls, entry: CachedCase, centres: Tensor) -> Host:
        """Take a prepared case's tumour out.

        Args:
            entry: The case.
            centres: (T, C) of the kinds of tissue.
        """
        prepared = entry.prepared()
        image = np.asarray(prepared.image, np.float32)
        own = np.zeros(image.shape[1:], bool) if prepared.mask is None else prepared.mask > 0
        kinds = kinds_of(torch.from_numpy(image)[None], centres.cpu())[0].numpy() > 0
        return cls(image, own, _completed(kinds, own), prepared.geometry.spacing)

    @property
    def brain(self) -> np.ndarray:
        """(x, y, z) bool."""
        return (self.image != 0).any(0)

    def ground(self) -> Ground:
        """Where a tumour may lie: not in ventricles, rather in white than in grey matter."""
        sigma = [VENTRICLE / size for size in self.spacing]
        fluid = ndimage.gaussian_filter(self.kinds[0].astype(np.float32), sigma) > 0.5
        allowed = self.brain & ~fluid
        cost = np.where(self.kinds[1], GREY, 0.0)
        return Ground(allowed, np.where(allowed, cost, 1.0).astype(np.float32))

    def view(self, labels: np.ndarray, margin: int) -> View:
        """The host with new labels (x, y, z), holes where they and where its own tumour is."""
        new = torch.from_numpy(labels)[None, None]
        own = torch.from_numpy(self.own)[None, None]
        kinds = torch.from_numpy(self.kinds)[None].float().masked_fill(new > 0, 0)
        hole = widened((new > 0) | own, margin) & torch.from_numpy(self.brain)[None, None]
        return View(torch.from_numpy(self.image)[None], one_hot(new), kinds, hole)


def _completed(kinds: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Kinds (T, x, y, z) with those under the tumour replaced by a guess."""
    brain = kinds.any(0)
    known = brain & ~own
    if not own.any() or not known.any():
        return kinds
    index = np.where(known, kinds.argmax(0), -1)
    x, y, z = np.nonzero(own & brain)
    middle = round(2 * float(np.nonzero(brain)[0].mean()))
    opposite = np.clip(middle - x, 0, kinds.shape[1] - 1)
    guess = index[opposite, y, z]
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    spare = index[tuple(axis[x, y, z] for axis in nearest)]
    index[x, y, z] = np.where(guess >= 0, guess, spare)
    return np.stack([index == kind for kind in range(len(kinds))])
