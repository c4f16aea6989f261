"""The frame of every loss, cross-entropy, and what terms of our own share.

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
        terms: Modules called with logits in single precision (double, when they come in double),
            and masks in the same or classes as int64.
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
            logits = logits if logits.dtype == torch.float64 else logits.float()
            target = target.to(logits.dtype if self.head == "regions" else torch.int64)
            pairs = zip(self.weights, self.terms, strict=True)
            return torch.stack([weight * term(logits, target) for weight, term in pairs]).sum()


def probabilities(head: Head, logits: Tensor) -> Tensor:
    """Probability of each region, or of background and each class, (B, K, ...)."""
    return logits.sigmoid() if head == "regions" else logits.softmax(1)


def one_hot(head: Head, logits: Tensor, target: Tensor) -> Tensor:
    """Mask of each output (B, K, ...), in the type of the logits."""
    if head == "regions":
        return target
    return F.one_hot(target[:, 0], logits.shape[1]).movedim(-1, 1).to(logits.dtype)


def foreground(head: Head, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Probabilities and masks of the regions, or of all classes but background."""
    first = 0 if head == "regions" else 1
    return probabilities(head, logits)[:, first:], one_hot(head, logits, target)[:, first:]


class CrossEntropy(nn.Module):
    """Cross-entropy of classes, or binary cross-entropy of regions.

    Args:
        head: `regions` or `labels`.
        foreground: How many times a foreground voxel counts: one number, or one a foreground class
            (or region). `None` counts all voxels alike.
        hardest: Share of the voxels (and regions) of the batch that count: those with the largest
            values (top-k loss). 1 is all.

    Raises:
        ConfigError: Not as many numbers as there are foreground classes or regions; a share that
            is none.
    """

    foreground: Tensor | None

    def __init__(
        self,
        head: Head,
        foreground: float | Sequence[float] | None = None,
        hardest: float = 1.0,
    ) -> None:
        super().__init__()
        if isinstance(foreground, str):
            raise ConfigError(
                f"foreground weights '{foreground}' are not numbers",
                remedy="'auto' is for configured runs, which count the training cases' voxels",
            )
        if not 0 < hardest <= 1:
            raise ConfigError(f"the share of hardest voxels is {hardest}, not in (0, 1]")
        self.head, self.hardest = head, hardest
        values = None if foreground is None else torch.tensor(foreground, dtype=torch.float32)
        self.register_buffer("foreground", values, persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean over all voxels; for classes, weighted voxels count as that many."""
        weight = self._weights(logits)
        each = "mean" if self.hardest == 1 else "none"
        if self.head == "labels":
            loss = F.cross_entropy(logits, target[:, 0], weight, reduction=each)
        else:
            if weight is not None:
                weight = weight.view(-1, *[1] * (logits.ndim - 2))
            loss = F.binary_cross_entropy_with_logits(
                logits, target, pos_weight=weight, reduction=each
            )
        if self.hardest == 1:
            return loss
        count = max(round(self.hardest * loss.numel()), 1)
        return loss.flatten().topk(count, sorted=False).values.mean()

    def _weights(self, logits: Tensor) -> Tensor | None:  # (K,)
        if self.foreground is None:
            return None
        values = self.foreground.to(logits)
        background = 1 if self.head == "labels" else 0
        outputs = logits.shape[1] - background
        if values.ndim and len(values) != outputs:
            raise ConfigError(f"{len(values)} foreground weights for {outputs} {self.head}")
        return torch.cat((values.new_ones(background), values.expand(outputs)))
