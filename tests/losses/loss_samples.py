"""Logits and targets, and the losses' formulas a second time, in NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor, nn

import lightning_brats

CONFIGS = Path(lightning_brats.__file__).parent / "configs" / "loss"
NAMES = sorted(path.stem for path in CONFIGS.glob("*.yaml"))
HEADS = ("regions", "labels")
S = 1e-5


def build(name: str, head: str, **overrides: object) -> nn.Module:
    return instantiate(OmegaConf.load(CONFIGS / f"{name}.yaml"), head=head, **overrides)


def sample(
    head: str, shape: tuple[int, ...] = (5, 4, 6), outputs: int = 4
) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(2, outputs, *shape, generator=generator)
    if head == "labels":
        return logits, torch.randint(outputs, (2, 1, *shape), generator=generator).to(torch.uint8)
    return logits, torch.rand(2, outputs, *shape, generator=generator) < 0.3


class Reference:
    """The losses' formulas in double precision, over (B, K, N) probabilities and masks."""

    def __init__(self, head: str, logits: Tensor, target: Tensor) -> None:
        x = logits.double().flatten(2).numpy()
        self.shape = logits.shape[2:]
        self.labels = head == "labels"
        if self.labels:
            e = np.exp(x - x.max(1, keepdims=True))
            self.p = e / e.sum(1, keepdims=True)
            self.t = np.eye(x.shape[1])[target.flatten(1).numpy()].transpose(0, 2, 1)
        else:
            self.p = 1 / (1 + np.exp(-x))
            self.t = target.flatten(2).double().numpy()

    def overlap(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """True positives, false positives, false negatives (B, K), background class left out."""
        p, t = (a[:, 1:] if self.labels else a for a in (self.p, self.t))
        return (p * t).sum(2), (p * (1 - t)).sum(2), ((1 - p) * t).sum(2)

    def right(self) -> np.ndarray:
        """Probability of what is true, of each voxel (and region)."""
        return (self.p * self.t).sum(1) if self.labels else np.where(self.t, self.p, 1 - self.p)

    def dice(self) -> float:
        tp, fp, fn = self.overlap()
        return (1 - (2 * tp + S) / (2 * tp + fp + fn + S)).mean()

    def ce(self) -> float:
        return -np.log(self.right()).mean()

    def dice_ce(self) -> float:
        return self.dice() + self.ce()

    def dice_ce_batch(self) -> float:
        tp, fp, fn = (each.sum(0) for each in self.overlap())
        return (1 - (2 * tp + S) / (2 * tp + fp + fn + S)).mean() + self.ce()

    def weighted_ce(self) -> float:
        if not self.labels:
            return -(np.where(self.t, 10, 1) * np.log(self.right())).mean()
        weight = np.where(self.t[:, 0], 1, 10)
        return -(weight * np.log(self.right())).sum() / weight.sum()

    def focal(self) -> float:
        values = -((1 - self.right()) ** 2) * np.log(self.right())
        return values.mean() / (self.p.shape[1] if self.labels else 1)  # over classes as well

    def dice_focal(self) -> float:
        return self.dice() + self.focal()

    def tversky(self) -> float:
        tp, fp, fn = self.overlap()
        return (1 - (tp + S) / (tp + 0.3 * fp + 0.7 * fn + S)).mean()

    def generalised_dice(self) -> float:
        weight = 1 / self.t.sum(2) ** 2
        both = (weight * (self.p * self.t).sum(2)).sum(1)
        total = (weight * (self.p + self.t).sum(2)).sum(1)
        return (1 - (2 * both + S) / (total + S)).mean()

    compound = dice_ce

    def top_k_ce(self) -> float:
        values = np.sort(-np.log(self.right()).ravel())
        return values[-round(0.1 * values.size) :].mean()

    def focal_tversky(self) -> float:
        tp, fp, fn = self.overlap()
        return ((1 - (tp + S) / (tp + 0.3 * fp + 0.7 * fn + S)) ** 0.75).mean()

    def log_cosh_dice(self) -> float:
        return np.log(np.cosh(self.dice()))

    def unified_focal(self) -> float:
        if self.labels:
            return self.unified(self.p, self.t)
        pairs = [(self.p[:, [k]], self.t[:, [k]]) for k in range(self.p.shape[1])]
        both = [[np.concatenate((1 - a, a), 1) for a in pair] for pair in pairs]
        return float(np.mean([self.unified(p, t) for p, t in both]))

    def unified(self, p: np.ndarray, t: np.ndarray) -> float:
        """Asymmetric form with weight .5, δ .6 and γ .5; channel 0 is background."""
        ce = -t * np.log(p)
        focal = 0.4 * (1 - p[:, 0]) ** 0.5 * ce[:, 0] + 0.6 * ce[:, 1:].sum(1)
        tp, fp, fn = (p * t).sum(2), (p * (1 - t)).sum(2), ((1 - p) * t).sum(2)
        lack = 1 - (tp + S) / (tp + 0.6 * fn + 0.4 * fp + S)
        lack[:, 1:] **= 0.5
        return 0.5 * focal.mean() + 0.5 * lack.mean()

    def distances(self, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of each voxel (N) from the nearest one outside and from the nearest one inside."""
        places = np.argwhere(np.ones(self.shape))
        apart = np.sqrt(((places[:, None] - places[None]) ** 2).sum(-1))
        return apart[:, mask == 0].min(1), apart[:, mask == 1].min(1)

    def foreground(self) -> tuple[np.ndarray, np.ndarray]:
        first = 1 if self.labels else 0
        return self.p[:, first:], self.t[:, first:]

    def dice_boundary(self) -> float:
        p, t = self.foreground()
        values = []
        for index in np.ndindex(p.shape[:2]):
            inside, outside = self.distances(t[index])
            signed = np.where(t[index] == 1, -(inside - 1), outside)
            values.append((signed * (p[index] - t[index])).mean())
        return self.dice() + 0.01 * float(np.mean(values))

    def dice_hausdorff(self) -> float:
        p, t = self.foreground()
        values = []
        for index in np.ndindex(p.shape[:2]):
            far = sum(sum(self.distances(m)) ** 2 for m in (t[index], p[index] > 0.5))
            values.append(((p[index] - t[index]) ** 2 * far).mean())
        return self.dice() + 0.01 * float(np.mean(values))
