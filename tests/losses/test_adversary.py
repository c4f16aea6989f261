import math

import pytest
import torch

from lightning_brats.errors import ConfigError
from lightning_brats.losses import Adversary


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def patches(*values: float) -> torch.Tensor:
    return torch.tensor(values).view(1, 1, -1, 1, 1)


def test_hinge_by_hand() -> None:
    adversary = Adversary(objective="hinge")
    # Real patches cost what they lack to 1: 0, 0.5, 3; made ones what they have above -1: 0, 2.
    value = adversary.discriminator_loss(patches(2.0, 0.5, -2.0), patches(-3.0, 1.0))
    assert value.item() == pytest.approx(3.5 / 3 + 2 / 2)
    assert adversary.generator_loss(patches(-3.0, 1.0)).item() == pytest.approx(1.0)


def test_cross_entropy_by_hand() -> None:
    adversary = Adversary(objective="bce")
    value = adversary.discriminator_loss(patches(2.0), patches(-1.0))
    assert value.item() == pytest.approx(softplus(-2.0) + softplus(-1.0))
    # Non-saturating: -log sigmoid, so that a mask that fools nobody still learns.
    assert adversary.generator_loss(patches(-1.0)).item() == pytest.approx(softplus(1.0))


def test_smoothed_labels_are_a_target_below_one() -> None:
    """The loss of real patches is least where their probability is 1 minus the smoothing."""
    logits = torch.linspace(-6, 6, 2401)
    adversary = Adversary(objective="bce", label_smoothing=0.2)
    nothing = torch.tensor([-100.0])
    losses = [adversary.discriminator_loss(x[None], nothing).item() for x in logits]
    best = logits[int(torch.tensor(losses).argmin())].sigmoid().item()
    assert best == pytest.approx(0.8, abs=2e-3)
    margin = Adversary(objective="hinge", label_smoothing=0.2)
    assert margin.discriminator_loss(patches(0.8), patches(-1.0)).item() == pytest.approx(0)


@pytest.mark.parametrize("objective", ["hinge", "bce"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_losses_and_gradients_are_finite_at_extremes(objective: str, dtype: torch.dtype) -> None:
    adversary = Adversary(objective=objective, label_smoothing=0.1)
    for value in (-6e4, -1.0, 0.0, 1.0, 6e4):
        real = torch.full((2, 1, 4), value, dtype=dtype, requires_grad=True)
        fake = torch.full((2, 1, 4), value, dtype=dtype, requires_grad=True)
        total = adversary.discriminator_loss(real, fake) + adversary.generator_loss(fake)
        total.backward()
        assert total.dtype == torch.float32
        assert total.isfinite()
        assert real.grad.isfinite().all()
        assert fake.grad.isfinite().all()


def test_true_masks_as_they_are_shown() -> None:
    adversary = Adversary(mask_smoothing=0.2)
    regions = torch.tensor([[True, False]]).view(1, 2, 1)
    assert adversary.shown(regions, "regions", 2).flatten().tolist() == pytest.approx([0.9, 0.1])
    classes = torch.tensor([2, 0], dtype=torch.uint8).view(1, 1, 2)
    shown = adversary.shown(classes, "labels", 4)
    assert shown.shape == (1, 4, 2)
    assert shown[0, :, 0].tolist() == pytest.approx([0.05, 0.05, 0.85, 0.05])
    assert shown.sum(1).flatten().tolist() == pytest.approx([1.0, 1.0])


def test_the_weight_rises_in_a_line_and_stays() -> None:
    adversary = Adversary(weight=0.4, warm_up=0.5)
    weights = [adversary.weight_at(progress) for progress in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert weights == pytest.approx([0.0, 0.2, 0.4, 0.4, 0.4])
    assert Adversary(weight=0.4, warm_up=0.0).weight_at(0.0) == 0.4


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"objective": "wasserstein"}, "choose from hinge, bce"),
        ({"weight": -0.1}, "adversary.weight=-0.1"),
        ({"weight": float("nan")}, "adversary.weight=nan"),
        ({"warm_up": 1.0}, "adversary.warm_up=1.0"),
        ({"mask_smoothing": -0.1}, "adversary.mask_smoothing=-0.1"),
        ({"label_smoothing": 1.5}, "adversary.label_smoothing=1.5"),
    ],
)
def test_settings_that_cannot_work(settings: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Adversary(**settings)
