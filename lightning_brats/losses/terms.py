"""The frame of every loss, and the term that MONAI lacks.

Shapes: B batch, K outputs (regions, or background and classes), `...` two or three axes of space.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_brats.errors import ConfigError

Head = Literal["regions", "labels"]


class Loss(nn.Module):
    """A weighted sum of terms.

    Args:
        head: `regions` or `labels`.
        terms: Modules called with single-precision logits, and masks as floats or classes as int64.
        weights: One a term.

    Raises:
        ConfigError: Another head.
    """

    def __init__(
        self, head: Head, terms: Sequence[nn.Module], weights: Sequence[float] = (1.0,)
    ) -> None:
        super().__init__()
        if head not in ("regions", "labels"):
            raise ConfigError(f"unknown head '{head}'", remedy="choose from regions, labels")
        self.head, self.weights = head, tuple(weights)
        self.terms = nn.ModuleList(terms)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar loss.

        Args:
            logits: (B, K, ...), of any floating type.
            target: Masks (B, K, ...) for regions, classes (B, 1, ...) for labels.
        """
        with torch.autocast(logits.device.type, enabled=False):
            logits = logits.float()
            target = target.float() if self.head == "regions" else target.long()
            pairs = zip(self.weights, self.terms, strict=True)
            return torch.stack([weight * term(logits, target) for weight, term in pairs]).sum()


class CrossEntropy(nn.Module):
    """Cross-entropy of classes, or binary cross-entropy of regions.

    Args:
        head: `regions` or `labels`.
        foreground: How many times a foreground voxel counts: one number, or one a foreground class
            (or region). `None` counts all voxels alike.

    Raises:
        ConfigError: Not as many numbers as there are foreground classes or regions.
    """

    foreground: Tensor | None

    def __init__(self, head: Head, foreground: float | Sequence[float] | None = None) -> None:
        super().__init__()
        self.head = head
        values = None if foreground is None else torch.tensor(foreground, dtype=torch.float32)
        self.register_buffer("foreground", values, persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean over all voxels; for classes, weighted voxels count as that many."""
        weight = self._weights(logits)
        if self.head == "labels":
            return F.cross_entropy(logits, target[:, 0], weight)
        if weight is not None:
            weight = weight.view(-1, *[1] * (logits.ndim - 2))
        return F.binary_cross_entropy_with_logits(logits, target, pos_weight=weight)

    def _weights(self, logits: Tensor) -> Tensor | None:  # (K,)
        if self.foreground is None:
            return None
        values = self.foreground.to(logits)
        background = 1 if self.head == "labels" else 0
        outputs = logits.shape[1] - background
        if values.ndim and len(values) != outputs:
            raise ConfigError(f"{len(values)} foreground weights for {outputs} {self.head}")
        return torch.cat((values.new_ones(background), values.expand(outputs)))
