"""Losses against a second implementation in NumPy, values worked out by hand, and extremes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from monai.networks.nets import DynUNet
from omegaconf import OmegaConf
from torch import Tensor, nn

import lightning_brats
from lightning_brats import losses
from lightning_brats.errors import ConfigError
from lightning_brats.losses import DeepSupervision

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


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(5, 4, 6), (7, 9)])
def test_formula(name: str, head: str, shape: tuple[int, ...]) -> None:
    logits, target = sample(head, shape)
    expected = getattr(Reference(head, logits, target), name)()
    assert build(name, head)(logits, target).item() == pytest.approx(expected, rel=1e-5)


def test_dice_by_hand() -> None:
    # One region, four voxels at probability ½, two of them true: 2·1 / (2 + 2)
    logits, target = torch.zeros(1, 1, 2, 2), torch.tensor([[[[1, 1], [0, 0]]]])
    assert losses.dice("regions")(logits, target).item() == pytest.approx(0.5, abs=1e-5)
    # squares: 2·1 / (4·¼ + 2)
    squared = losses.dice("regions", squared=True)(logits, target)
    assert squared.item() == pytest.approx(1 - 2 / 3, abs=1e-5)
    assert losses.ce("regions")(logits, target).item() == pytest.approx(np.log(2))


def test_dice_over_the_batch_by_hand() -> None:
    # First item: all four voxels true and found. Second: four false voxels found.
    logits = torch.full((2, 1, 2, 2), 50.0)
    target = torch.tensor([1, 0])[:, None, None, None].expand(2, 1, 2, 2)
    each = losses.dice("regions")(logits, target)
    whole = losses.dice("regions", batch=True)(logits, target)
    assert each.item() == pytest.approx((0 + 1) / 2, abs=1e-4)
    assert whole.item() == pytest.approx(1 - 2 * 4 / (8 + 4), abs=1e-4)


def test_weights_of_the_terms() -> None:
    logits, target = sample("labels")
    dice, ce = (loss("labels")(logits, target) for loss in (losses.dice, losses.ce))
    mixed = losses.dice_ce("labels", dice_weight=0.25, ce_weight=3.0)(logits, target)
    torch.testing.assert_close(mixed, 0.25 * dice + 3 * ce)


def test_foreground_weights_one_a_class() -> None:
    logits, target = sample("labels")
    one = losses.weighted_ce("labels", foreground=7.0)(logits, target)
    many = losses.weighted_ce("labels", foreground=[7.0, 7.0, 7.0])(logits, target)
    torch.testing.assert_close(one, many)
    with pytest.raises(ConfigError, match="2 foreground weights for 3 labels"):
        losses.weighted_ce("labels", foreground=[1.0, 2.0])(logits, target)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", NAMES)
def test_right_beats_wrong(name: str, head: str) -> None:
    _, target = sample(head)
    if head == "labels":
        right = nn.functional.one_hot(target[:, 0].long(), 4).movedim(-1, 1).float()
    else:
        right = target.float()
    loss = build(name, head)
    good, bad = loss(20 * right - 10, target), loss(10 - 20 * right, target)
    assert 0 <= good < 0.01 < 0.3 < bad


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("foreground", ["none", "one voxel", "all"])
@pytest.mark.parametrize("scale", [0.0, 1.0, 6e4])
def test_extremes_stay_finite(
    name: str, head: str, dtype: torch.dtype, foreground: str, scale: float
) -> None:
    sign = torch.randn(2, 3, 4, 4, 4, generator=torch.Generator().manual_seed(1)).sign()
    logits = (scale * sign).to(dtype).requires_grad_()
    target = torch.zeros(2, 1 if head == "labels" else 3, 4, 4, 4, dtype=torch.uint8)
    if foreground == "one voxel":
        target[0, 0, 1, 2, 3] = 1
    elif foreground == "all":
        target[:] = 1
    loss = build(name, head)(logits, target)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.ndim == 0
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", NAMES)
def test_single_precision_under_autocast(name: str, head: str) -> None:
    logits, target = sample(head)
    loss = build(name, head)
    with torch.autocast("cpu", torch.bfloat16):
        inside = loss(logits, target)
    assert torch.equal(inside, loss(logits, target))


def test_an_absent_region_costs_nothing() -> None:
    logits, target = torch.full((1, 3, 4, 4, 4), -30.0), torch.zeros(1, 3, 4, 4, 4)
    assert losses.dice("regions")(logits, target) < 1e-4
    assert losses.dice_ce("regions")(logits, target) < 1e-4


def test_unknown_head() -> None:
    with pytest.raises(ConfigError, match="regions, labels"):
        losses.dice("region")


class Mean(nn.Module):
    """A loss that shows what it was given."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        assert logits.shape[2:] == target.shape[2:]
        self.target = target
        return logits.mean()


def test_deep_supervision_by_hand() -> None:
    target = torch.arange(16).view(1, 1, 4, 4).to(torch.uint8)
    outputs = [torch.full((1, 3, n, n), v) for n, v in ((4, 1.0), (2, 10.0), (1, 100.0))]
    loss = DeepSupervision(inner := Mean())
    assert loss(outputs, target).item() == pytest.approx((4 * 1 + 2 * 10 + 1 * 100) / 7)
    loss(outputs[1:2], target)
    assert inner.target.tolist() == [[[[0, 2], [8, 10]]]]
    assert loss(outputs[0], target) == 1
    assert inner.target is target


@pytest.mark.parametrize("head", HEADS)
def test_deep_supervision_of_a_real_loss(head: str) -> None:
    logits, target = sample(head, (8, 6, 5))
    loss = losses.dice_ce(head)
    coarse = logits[..., ::2, ::2, ::2]
    nearest = target[..., ::2, ::2, [0, 1, 3]]  # ⌊i · 5 / 3⌋ on the odd axis
    expected = (2 * loss(logits, target) + loss(coarse, nearest)) / 3
    torch.testing.assert_close(DeepSupervision(loss)([logits, coarse], target), expected)


def test_deep_supervision_of_dynunet() -> None:
    net = DynUNet(
        2, 4, 3, [3] * 4, [1, 2, 2, 2], [2] * 3, [4, 8, 8, 8], deep_supervision=True
    ).train()
    _, target = sample("regions", (16, 16), outputs=3)
    outputs = net(torch.randn(2, 4, 16, 16))
    loss = losses.dice_ce("regions")
    each = [loss(outputs[:, level], target) for level in range(outputs.shape[1])]
    assert len(each) == 2
    expected = (2 * each[0] + each[1]) / 3
    torch.testing.assert_close(DeepSupervision(loss)(outputs, target), expected)
