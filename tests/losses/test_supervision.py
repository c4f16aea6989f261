"""Deep supervision: levels, weights, and the outputs of peers' networks."""

from __future__ import annotations

import pytest
import torch
from loss_samples import HEADS, sample
from monai.networks.nets import DynUNet
from torch import Tensor, nn

from lightning_brats import losses
from lightning_brats.errors import ConfigError
from lightning_brats.losses import DeepSupervision


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


def test_weights_of_the_outputs_by_hand() -> None:
    target = torch.zeros(1, 1, 4, 4)
    outputs = [torch.full((1, 3, n, n), v) for n, v in ((4, 1.0), (2, 10.0), (1, 100.0))]
    loss = losses.deeply_supervised("regions", loss=lambda head: Mean(), weights=[3, 1, 0])
    assert loss(outputs, target).item() == pytest.approx((3 * 1 + 10) / 4)
    assert loss(outputs[0], target) == 1  # the single output of validation
    with pytest.raises(ConfigError, match="3 weights of deep supervision for 2 outputs"):
        loss(outputs[:2], target)
    for weights in ([], [0, 0], [1, -1]):
        with pytest.raises(ConfigError, match="below 0"):
            DeepSupervision(Mean(), weights)


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


def test_an_output_that_is_left_out_still_has_a_gradient() -> None:
    """Processes that train together wait for one of every parameter."""
    fine, coarse = (
        torch.full((2, 3, n, n), v, requires_grad=True) for n, v in ((4, 1.0), (2, 7.0))
    )
    loss = DeepSupervision(Mean(), [1, 0])
    loss([fine, coarse], torch.zeros(2, 1, 4, 4)).backward()
    assert torch.equal(coarse.grad, torch.zeros(2, 3, 2, 2))
    assert fine.grad.sum().item() == pytest.approx(1)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_what_is_left_out_may_be_no_number(value: float) -> None:
    fine = torch.ones(1, 3, 4, 4)
    coarse = torch.full((1, 3, 2, 2), value, requires_grad=True)
    loss = DeepSupervision(Mean(), [1, 0])([fine, coarse], torch.zeros(1, 1, 4, 4))
    assert loss.item() == 1
    loss.backward()
    assert torch.equal(coarse.grad, torch.zeros(1, 3, 2, 2))
