"""How a segmentation network and a discriminator of its masks train each other.

The network learns from a sum: its segmentation loss, and a share of what the discriminator thinks
of its masks (Luc et al. 2016). The share rises from zero, as a discriminator that has seen little
yet teaches nothing.

Shapes: B batch, K outputs, `...` space; the discriminator's logits are (B, 1, ...), one a patch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Optimizer

from lightning_brats.errors import ConfigError
from lightning_brats.losses.terms import Head

OBJECTIVES = ("hinge", "bce")
ADAM = partial(torch.optim.Adam, lr=1e-3, betas=(0.5, 0.999))
"""Less momentum than usual, for a target that moves (Radford et al. 2016)."""


@dataclass(frozen=True)
class Adversary:
    """What the discriminator minimises, and what the generator hears of it.

    Args:
        objective: `hinge` (Lim & Ye 2017; Miyato et al. 2018), or `bce`, binary cross-entropy,
            which the generator takes in its non-saturating form (Goodfellow et al. 2014).
        weight: Of the adversarial loss beside the segmentation loss.
        warm_up: Share of the training over which the weight rises from 0, in a line.
        mask_smoothing: True masks are shown with so much taken from 1 and spread over the other
            outputs, lest the discriminator tell probabilities by their not being 0 or 1.
        label_smoothing: What is real counts as 1 minus this (one-sided, Salimans et al. 2016).
        optimizer: Of the discriminator; called with parameter groups.

    Raises:
        ConfigError: A setting that cannot work.
    """

    objective: str = "hinge"
    weight: float = 0.01
    warm_up: float = 0.1
    mask_smoothing: float = 0.1
    label_smoothing: float = 0.0
    optimizer: Callable[..., Optimizer] = ADAM

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise ConfigError(
                f"unknown adversary.objective '{self.objective}'",
                remedy=f"choose from {', '.join(OBJECTIVES)}",
            )
        if not 0 <= self.weight < float("inf"):
            raise ConfigError(f"adversary.weight={self.weight} must be 0 or more")
        for name in ("warm_up", "mask_smoothing", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(
                    f"adversary.{name}={getattr(self, name)} must be at least 0 and less than 1"
                )

    def weight_at(self, progress: float) -> float:
        """Weight of the adversarial loss.

        Args:
            progress: Share of the training that is done.
        """
        return self.weight * min(1.0, progress / self.warm_up if self.warm_up else 1.0)

    def shown(self, target: Tensor, head: Head, outputs: int) -> Tensor:
        """True masks as the discriminator sees them, (B, K, ...).

        Args:
            target: Masks (B, K, ...) of a `regions` head, classes (B, 1, ...) of a `labels` head.
            head: `regions` or `labels`.
            outputs: K.
        """
        if head == "regions":
            masks, spread = target.float(), 2  # each a yes or no
        else:
            masks = F.one_hot(target[:, 0].long(), outputs).movedim(-1, 1).float()
            spread = outputs
        return masks * (1 - self.mask_smoothing) + self.mask_smoothing / spread

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Scalar to be minimised by the discriminator.

        Args:
            real: Its logits for true masks.
            fake: Its logits for the generator's.
        """
        real, fake = real.float(), fake.float()
        certain = 1 - self.label_smoothing
        if self.objective == "hinge":
            return F.relu(certain - real).mean() + F.relu(1 + fake).mean()
        of_real = certain * F.softplus(-real) + self.label_smoothing * F.softplus(real)
        return of_real.mean() + F.softplus(fake).mean()

    def generator_loss(self, fake: Tensor) -> Tensor:
        """Scalar to be minimised by the generator.

        Args:
            fake: The discriminator's logits for its masks.
        """
        fake = fake.float()
        return -fake.mean() if self.objective == "hinge" else F.softplus(-fake).mean()
