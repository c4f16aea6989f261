"""Activation checkpointing changes memory, and nothing else."""

import copy

import pytest
import torch
from torch import nn

from lightning_brats.errors import ConfigError
from lightning_brats.models import UNet, describe
from lightning_brats.models.recompute import recompute


def gradients(net: nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)  # of dropout
    net.train()(x).square().mean().backward()
    return {name: p.grad.clone() for name, p in net.named_parameters()}


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize("block", ["plain", "residual"])
def test_gradients_and_running_averages_stay_the_same(norm: str, block: str) -> None:
    torch.manual_seed(0)
    net = UNet(2, 3, size="tiny", norm=norm, block=block, dropout=0.3)
    other = copy.deepcopy(net)
    names = recompute(other)
    assert len(names) == 5  # three encoder stages, two decoder stages
    x = torch.randn(2, 2, 16, 16, 16)
    first, second = gradients(net, x), gradients(other, x)
    assert all(torch.equal(first[name], second[name]) for name in first)
    before, after = net.state_dict(), other.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_memory_falls() -> None:
    net = UNet(4, 3, size="small")
    whole = describe(net, (4, 32, 32, 32))["activation_gib"]
    recompute(net)
    assert describe(net, (4, 32, 32, 32))["activation_gib"] < whole / 2


def test_a_copy_runs_its_own_weights() -> None:
    """As an average of weights, which copies the network, needs."""
    net = UNet(2, 3, size="tiny")
    recompute(net)
    other = copy.deepcopy(net)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    x = torch.randn(1, 2, 8, 8, 8)
    assert other.train()(x).abs().max() == 0
    assert net.train()(x).abs().max() > 0


class Pair(nn.Module):
    """The smallest block."""

    def __init__(self, *more: nn.Module) -> None:
        super().__init__()
        self.a, self.b, self.more = nn.Linear(2, 2), nn.Linear(2, 2), nn.Sequential(*more)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.more(self.a(x)))


def test_blocks_are_found_in_any_network() -> None:
    net = nn.Sequential(Pair(), nn.ModuleDict({"x": Pair()})["x"], nn.Linear(2, 2))
    assert recompute(net) == ["0", "1"]


def test_blocks_without_running_averages_can_be_compiled() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(Pair(nn.Tanh()), Pair(nn.BatchNorm1d(2, track_running_stats=False)))
    other = copy.deepcopy(net)
    recompute(other)
    other.compile(backend="aot_eager", fullgraph=True)
    x = torch.randn(4, 2)
    first, second = gradients(net, x), gradients(other, x)
    for name, gradient in first.items():
        torch.testing.assert_close(second[name], gradient)


def test_a_network_without_blocks_is_refused() -> None:
    with pytest.raises(ConfigError, match="recompute=false"):
        recompute(nn.Conv3d(1, 1, 3))
