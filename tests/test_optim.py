"""Parameter groups, and schedules at steps whose value is known."""

from __future__ import annotations

import copy
import math
from functools import partial
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor, nn

import lightning_brats
from lightning_brats import SegmentationTask
from lightning_brats.models import UNet
from lightning_brats.optim import (
    cosine_factor,
    has_fused,
    make_optimizer,
    parameter_groups,
    plateau,
    poly_factor,
)

CONFIGS = Path(lightning_brats.__file__).parent / "configs"
OPTIMIZERS, SCHEDULERS = (
    sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))
    for group in ("optimizer", "scheduler")
)


def load(group: str, name: str):
    return instantiate(OmegaConf.load(CONFIGS / group / f"{name}.yaml"), _convert_="all")


def test_decay_is_for_kernels_alone() -> None:
    net = UNet(4, 3, widths=[4, 8], skip="attention")
    decayed, spared = parameter_groups(net, 0.1)
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)
    names = {id(p): name for name, p in net.named_parameters()}
    norms = {
        id(p)
        for module in net.modules()
        if isinstance(module, nn.InstanceNorm3d)
        for p in module.parameters()
    }
    assert {id(p) for p in spared["params"]} == norms | {
        key for key, name in names.items() if name.endswith("bias")
    }
    assert len(decayed["params"]) + len(spared["params"]) == len(names)
    next(net.parameters()).requires_grad_(False)
    assert len(parameter_groups(net, 0.1)[0]["params"]) == len(decayed["params"]) - 1


def test_decay_is_for_kernels_that_were_flattened_since() -> None:
    """FSDP keeps the parameters and leaves each process a flat share of their values, or none."""
    net = UNet(4, 3, widths=[4, 8])
    task = SegmentationTask(net)
    expected = [[id(p) for p in group["params"]] for group in parameter_groups(net, 0.1)]
    assert all(expected)
    for parameter in task.net.parameters():
        parameter.data = parameter.data.flatten()[:0]
    groups = parameter_groups(task.net, 0.1)
    assert [[id(p) for p in group["params"]] for group in groups] == expected


def test_decay_shrinks_kernels_and_leaves_biases() -> None:
    layer = nn.Conv2d(2, 2, 3)
    nn.init.ones_(layer.weight)
    nn.init.ones_(layer.bias)
    optimizer = torch.optim.AdamW(parameter_groups(layer, 0.5), lr=0.1)
    for parameter in layer.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(layer.weight, torch.full_like(layer.weight, 1 - 0.1 * 0.5))
    torch.testing.assert_close(layer.bias, torch.ones(2))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_fused_steps_are_the_plain_ones(name: str) -> None:
    torch.manual_seed(0)
    image = torch.randn(2, 4, 12, 10, 8)
    plain = UNet(4, 3, widths=[8, 16])
    fast = copy.deepcopy(plain)
    make = load("optimizer", name)
    decay = make.keywords["weight_decay"]
    theirs, ours = make(parameter_groups(plain, decay)), make_optimizer(make, fast)
    assert bool(ours.defaults.get("fused")) == (name in ("adam", "adamw", "sgd"))
    for _ in range(3):
        for net, optimizer in ((plain, theirs), (fast, ours)):
            optimizer.zero_grad()
            net(image).square().mean().backward()
            for parameter in net.parameters():  # Adam makes a step even of what rounding leaves
                parameter.grad[parameter.grad.abs() < 1e-6] = 0
            optimizer.step()
    for one, other in zip(plain.parameters(), fast.parameters(), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5)


def test_fused_steps_can_be_switched_off() -> None:
    layer = nn.Linear(2, 2)
    make = partial(torch.optim.SGD, lr=0.1)
    assert make_optimizer(make, layer).defaults["fused"]
    assert not make_optimizer(partial(make, fused=False), layer).defaults["fused"]
    assert not make_optimizer(partial(make, foreach=True), layer).defaults["fused"]
    assert not make_optimizer(make, layer.to("meta")).defaults["fused"]
    assert make_optimizer(lambda groups: make(groups), nn.Linear(2, 2)).defaults["lr"] == 0.1


def test_fused_steps_of_a_gpu_are_those_that_torch_has() -> None:
    expected = {"SGD": True, "Adam": True, "AdamW": True, "Adagrad": False, "RMSprop": False}
    kinds = {name: getattr(torch.optim, name) for name in expected}
    assert {name: has_fused(partial(kind, lr=1), {"cuda"}) for name, kind in kinds.items()} == (
        expected
    )
    assert has_fused(torch.optim.Adagrad, {"cpu"})
    assert not has_fused(torch.optim.Adagrad, {"cpu", "cuda"})
    assert not has_fused(torch.optim.SGD, {"mps"})


def test_sgd_with_nesterov_momentum_by_hand() -> None:
    # v ← .9 v + g, w ← w - lr (g + .9 v); with g = 1: steps of .19 and .271 times ten
    weight = nn.Parameter(torch.zeros(1, 1))
    module = nn.ParameterList([weight])
    make = load("optimizer", "sgd")
    make = partial(make, lr=0.1, momentum=0.9, weight_decay=0.0)
    optimizer = make_optimizer(make, module)
    seen = []
    for _ in range(2):
        weight.grad = torch.ones(1, 1)
        optimizer.step()
        seen.append(weight.item())
    assert seen == pytest.approx([-0.19, -0.19 - 0.271])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_minimise(name: str) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    x = torch.randn(64, 4)
    y = x.sum(1, keepdim=True)
    make = load("optimizer", name)
    optimizer = make_optimizer(make, net)
    assert optimizer.param_groups[0]["weight_decay"] == make.keywords["weight_decay"]
    losses = []
    for _ in range(60):
        loss = (net(x) - y).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_poly_by_hand() -> None:
    assert poly_factor(0, 100) == 1
    assert poly_factor(50, 100) == pytest.approx(0.5358867)
    assert poly_factor(75, 100, exponent=2) == pytest.approx(0.0625)
    assert poly_factor(100, 100) == poly_factor(101, 100) == 0


def test_cosine_by_hand() -> None:
    values = {step: cosine_factor(step, 110, warmup=10 / 110, final=0.2) for step in range(120)}
    assert [values[step] for step in (0, 4, 9, 10)] == pytest.approx([0.1, 0.5, 1.0, 1.0])
    assert values[60] == pytest.approx(0.6)  # half way from 1 to 0.2
    assert values[110] == values[119] == pytest.approx(0.2)
    assert cosine_factor(0, 100, warmup=0) == 1


def rates(name: str, steps: int) -> list[float]:
    """Learning rate before each step, and after the last."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.5)
    entry = load("scheduler", name)(optimizer, steps)
    assert entry["interval"] == "step"
    seen = [optimizer.param_groups[0]["lr"]]
    for _ in range(steps):
        optimizer.step()
        entry["scheduler"].step()
        seen.append(optimizer.param_groups[0]["lr"])
    return seen


def test_schedules_of_the_configs_by_hand() -> None:
    assert rates("constant", 20) == [0.5] * 21
    poly = rates("poly", 20)
    assert [poly[0], poly[10], poly[20]] == pytest.approx([0.5, 0.5 * 0.5358867, 0])
    cosine = rates("cosine", 40)  # two steps of warm-up
    assert [*cosine[:3], cosine[21], cosine[40]] == pytest.approx([0.25, 0.5, 0.5, 0.25, 0])
    cycle = rates("one_cycle", 40)
    assert cycle.index(max(cycle)) == 11  # the last of the rising 30 %
    assert max(cycle) == pytest.approx(0.5)
    assert cycle[0] == pytest.approx(0.5 / 25)
    # half a cosine from .02 over the 11 steps up, then one to .02 / 10⁴ over the 28 down
    up = 0.5 + (0.02 - 0.5) * (1 + math.cos(math.pi * 4 / 11)) / 2
    down = 0.5 * (1 + math.cos(math.pi * 7 / 28)) / 2
    assert [cycle[4], cycle[18]] == pytest.approx([up, down], abs=2e-6)
    assert cycle[39] < 1e-5


def test_plateau_waits_then_halves() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0)
    entry = plateau(optimizer, 100, patience=2)
    assert (entry["monitor"], entry["interval"]) == ("val/dice_mean", "epoch")
    seen = []
    for score in (0.5, 0.6, 0.6, 0.59, 0.1, 0.7, 0.7):
        entry["scheduler"].step(score)
        seen.append(optimizer.param_groups[0]["lr"])
    assert seen == [1, 1, 1, 1, 0.5, 0.5, 0.5]


class Line(pl.LightningModule):
    """One weight, and a validation score that never rises."""

    def __init__(self, scheduler: str) -> None:
        super().__init__()
        self.layer, self.name = nn.Linear(1, 1), scheduler

    def training_step(self, batch: Tensor, index: int) -> Tensor:
        return self.layer(batch).square().mean()

    def validation_step(self, batch: Tensor, index: int) -> None:
        self.log("val/dice_mean", 0.5)

    def configure_optimizers(self) -> dict:
        optimizer = make_optimizer(partial(torch.optim.SGD, lr=0.1), self)
        steps = int(self.trainer.estimated_stepping_batches)
        return {
            "optimizer": optimizer,
            "lr_scheduler": load("scheduler", self.name)(optimizer, steps),
        }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SCHEDULERS)
def test_lightning_takes_every_schedule(name: str, tmp_path: Path) -> None:
    task = Line(name)
    data = torch.utils.data.DataLoader(torch.ones(4, 1), batch_size=1)
    trainer = pl.Trainer(
        max_epochs=15,
        gradient_clip_val=1.0,
        precision="bf16-mixed",  # where Lightning clips in another way
        check_val_every_n_epoch=2,  # so the first epoch ends without a score to watch
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(task, data, data)
    rate = trainer.optimizers[0].param_groups[0]["lr"]
    expected = {"constant": 0.1, "plateau": 0.05}.get(name, 0)
    assert rate == pytest.approx(expected, abs=1e-3)
