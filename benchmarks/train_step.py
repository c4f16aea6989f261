"""A training step of `unet size=base` beside this machine's matrix products, MONAI's and nnU-Net's.

    python benchmarks/train_step.py                     # bf16; 2×128³ on a GPU, 2×64³ on a CPU
    python benchmarks/train_step.py --precision fp32 --patch 96 --repeats 3

A step is forward, loss, backward, clipping and optimiser; data are ready on the device. All take
turns, one step at a time, in one process with the same threads; medians count. A ratio above 1
means that ours is better. Each peer meets our network under its own terms:

- the matrix product: our floating-point operations a second, backward counted as twice forward,
  over those of one large product in the same precision;
- MONAI: its `DynUNet` of the same widths and depth without deep supervision (theirs enlarges every
  output), the same loss, and SGD as a training loop has it;
- nnU-Net (where nnunetv2 is installed): its trainer's own `train_step` with its default network,
  loss, optimiser and deep supervision, against ours with deep supervision. On a GPU it runs in fp16
  and compiled, which are its defaults. On a CPU its default is fp32; `nnU-Net, bf16` is a step of
  its under autocast, for a like comparison.

Shapes: `B` batch, `C` modalities, `R` regions, `X Y Z` space.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from monai.networks.nets import DynUNet
from torch import Tensor, nn

from lightning_brats.losses import DeepSupervision, dice_ce
from lightning_brats.models import SIZES, UNet, describe
from lightning_brats.optim import make_optimizer

MODALITIES, REGIONS = 4, 3
WIDTHS = list(SIZES["base"])
SGD = partial(torch.optim.SGD, lr=1e-2, momentum=0.99, nesterov=True, weight_decay=3e-5)
CLIP = 12.0  # as nnU-Net


@dataclass
class Contender:
    """A step to time."""

    step: Callable[[], Any]
    seconds: list[float] = field(default_factory=list)
    peak_gib: float | None = None

    def run(self, device: torch.device) -> None:
        """One step, timed until the device is done."""
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            before = torch.cuda.memory_allocated(device)
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        self.step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            self.peak_gib = (torch.cuda.max_memory_allocated(device) - before) / 2**30
        self.seconds.append(time.perf_counter() - start)

    @property
    def median(self) -> float:
        """Seconds."""
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Setting:
    """What all contenders share."""

    device: torch.device
    precision: str
    image: Tensor  # (B, C, X, Y, Z)
    target: Tensor  # (B, R, X, Y, Z)

    def autocast(self, precision: str | None = None) -> contextlib.AbstractContextManager:
        """bf16, or nothing."""
        half = (precision or self.precision) == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=half)


def plain_step(setting: Setting, net: nn.Module, optimizer: torch.optim.Optimizer) -> Contender:
    """A training loop's body."""
    net.train()
    loss = DeepSupervision(dice_ce("regions"))
    parameters = list(net.parameters())

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with setting.autocast():
            logits = net(setting.image)
            value = loss(logits, setting.target)
        value.backward()
        torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()

    return Contender(step)


def ours(setting: Setting, deep_supervision: bool, compiled: bool) -> Contender:
    """The suite's U-Net and optimiser."""
    net = UNet(MODALITIES, REGIONS, size="base", deep_supervision=deep_supervision)
    net.to(setting.device)
    optimizer = make_optimizer(SGD, net)
    return plain_step(setting, torch.compile(net) if compiled else net, optimizer)


def monai(setting: Setting) -> Contender:
    """MONAI's rendering of the same network."""
    stages = len(WIDTHS)
    strides = [1] + [2] * (stages - 1)
    norm = ("instance", {"affine": True})
    net = DynUNet(
        3, MODALITIES, REGIONS, [3] * stages, strides, strides[1:], WIDTHS, norm_name=norm
    ).to(setting.device)
    return plain_step(setting, net, SGD(net.parameters()))


def nnunet(setting: Setting, precision: str) -> Contender | None:
    """nnU-Net's trainer, given what its `initialize` would make; `None` if not installed."""
    try:
        from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    except ImportError:
        return None
    from lightning_brats.models.nnunet import plain_conv_unet

    trainer = object.__new__(nnUNetTrainer)
    trainer.device, trainer.is_ddp, trainer.enable_deep_supervision = setting.device, False, True
    trainer.initial_lr, trainer.weight_decay, trainer.num_epochs = 1e-2, 3e-5, 1000
    kernels = [[1] * 3] + [[2] * 3] * (len(WIDTHS) - 1)
    trainer.configuration_manager = SimpleNamespace(batch_dice=False, pool_op_kernel_sizes=kernels)
    trainer.label_manager = SimpleNamespace(has_regions=True, ignore_label=None)
    net = plain_conv_unet(MODALITIES, REGIONS, deep_supervision=True).to(setting.device).train()
    trainer.network = torch.compile(net) if trainer._do_i_compile() else net
    trainer.optimizer, _ = trainer.configure_optimizers()
    trainer.loss = trainer._build_loss()
    on_gpu = setting.device.type == "cuda"
    trainer.grad_scaler = torch.amp.GradScaler("cuda") if on_gpu else None
    levels = range(len(WIDTHS) - 1)  # its loader makes the coarser targets
    target = [setting.target[(..., *[slice(None, None, 2**k)] * 3)].contiguous() for k in levels]

    def step() -> None:
        with setting.autocast(precision) if not on_gpu else contextlib.nullcontext():
            trainer.train_step({"data": setting.image, "target": target})

    return Contender(step)


def product(setting: Setting) -> tuple[Contender, float]:
    """One large matrix product, and its floating-point operations."""
    edge = 8192 if setting.device.type == "cuda" else 4096
    dtype = torch.bfloat16 if setting.precision == "bf16" else torch.float32
    a, b = (torch.randn(edge, edge, device=setting.device).to(dtype) for _ in range(2))
    return Contender(lambda: a @ b), 2.0 * edge**3


def take_turns(contenders: dict[str, Contender], device: torch.device, repeats: int) -> None:
    """Warm up each once, then a step of each in turn."""
    for contender in contenders.values():
        for _ in range(3 if device.type == "cuda" else 1):
            contender.run(device)
        contender.seconds.clear()
    for _ in range(repeats):
        for contender in contenders.values():
            contender.run(device)


def report(setting: Setting, repeats: int, compiled: bool) -> list[dict[str, Any]]:
    """Time all, and give one record a peer."""
    matrix, operations = product(setting)
    contenders: dict[str, Contender | None] = {
        "matrix product": matrix,
        "ours": ours(setting, deep_supervision=False, compiled=compiled),
        "MONAI": monai(setting),
        "ours, deeply supervised": ours(setting, deep_supervision=True, compiled=compiled),
    }
    if setting.device.type == "cuda":
        contenders["nnU-Net"] = nnunet(setting, "fp16")
    else:
        for precision in dict.fromkeys(("fp32", setting.precision)):
            contenders[f"nnU-Net, {precision}"] = nnunet(setting, precision)
    present = {name: one for name, one in contenders.items() if one is not None}
    take_turns(present, setting.device, repeats)

    batch, _, *patch = setting.image.shape
    forward = describe(UNet(MODALITIES, REGIONS, size="base"), setting.image.shape[1:])["gflops"]
    common = {
        "benchmark": "train_step",
        "device": torch.cuda.get_device_name() if setting.device.type == "cuda" else "cpu",
        "precision": setting.precision,
        "batch": batch,
        "patch": patch,
    }
    rate = 3 * forward * batch / present["ours"].median
    records = [
        common
        | {"against": "matrix product", "unit": "GFLOP/s"}
        | _compared(rate, operations / 1e9 / matrix.median)
    ]
    for name, peer in present.items():
        if name.startswith(("MONAI", "nnU-Net")):
            own = present["ours" if name == "MONAI" else "ours, deeply supervised"]
            record = common | {"against": name, "unit": "samples/s"}
            record |= _compared(batch / own.median, batch / peer.median)
            if own.peak_gib is not None and peer.peak_gib is not None:
                record |= {"gib": round(own.peak_gib, 2), "peer_gib": round(peer.peak_gib, 2)}
            records.append(record)
    return records


def _compared(value: float, peer: float) -> dict[str, float]:
    return {
        "ours": float(f"{value:.4g}"),
        "peer": float(f"{peer:.4g}"),
        "ratio": round(value / peer, 3),
    }


def main() -> None:
    """Print a JSON line a peer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--patch", type=int, help="edge: 64, 96, 128, …")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--repeats", type=int, help="steps of each; the median counts")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--compile", action="store_true", help="ours by torch.compile")
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    torch.backends.cudnn.benchmark = True
    device = torch.device(args.device)
    on_gpu = device.type == "cuda"
    edge = args.patch or (128 if on_gpu else 64)
    shape = (args.batch, MODALITIES, edge, edge, edge)
    image = torch.randn(shape, device=device)
    target = (torch.rand(args.batch, REGIONS, *shape[2:], device=device) < 0.1).float()
    setting = Setting(device, args.precision, image, target)
    for record in report(setting, args.repeats or (20 if on_gpu else 5), args.compile):
        print(json.dumps(record))


if __name__ == "__main__":
    main()
