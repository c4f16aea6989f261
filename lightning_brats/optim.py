"""Optimisers over parameter groups, and learning-rate schedules as plain functions of the step.

A schedule is called with (optimizer, total_steps) and returns what Lightning's
`configure_optimizers` wants under `lr_scheduler`.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Set
from functools import partial
from typing import Any

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR, ReduceLROnPlateau

DECAYS = "decays"
"""Attribute of a parameter whose shape may be gone when it is put into a group."""
FUSED_ON_CUDA = (SGD, Adam, AdamW)
"""torch's Adagrad has the argument too, for the CPU alone."""


def mark_decaying(module: nn.Module) -> None:
    """Note on each parameter whether weight decay is for it, as long as it has its shape.

    FSDP leaves each process a flat share of a parameter, or nothing of it.
    """
    for parameter in module.parameters():
        setattr(parameter, DECAYS, parameter.ndim > 1)


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups for an optimiser: decay for kernels and matrices, none for norms and biases.

    Pulling a norm's scale or a bias to zero does not regularise (Loshchilov's and timm's practice
    alike); both have one axis, unless `mark_decaying` has noted otherwise. Frozen parameters are
    left out.
    """
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for parameter in module.parameters():
        if parameter.requires_grad:
            groups[getattr(parameter, DECAYS, parameter.ndim > 1)].append(parameter)
    return [
        {"params": groups[True], "weight_decay": weight_decay},
        {"params": groups[False], "weight_decay": 0.0},
    ]


def make_optimizer(factory: Callable[..., Optimizer], module: nn.Module) -> Optimizer:
    """An optimiser over the module's parameter groups, in one fused kernel where torch has one.

    Fused steps compute the same. They also let torch's gradient scaler leave unscaling to them,
    which Lightning does not allow together with gradient clipping; so that is switched off.

    Args:
        factory: Called with parameter groups, e.g. `partial(torch.optim.AdamW, lr=1e-3)`. A
            `weight_decay` and `fused` among a partial's arguments are obeyed.
        module: What is trained.
    """
    chosen = factory.keywords if isinstance(factory, partial) else {}
    groups = parameter_groups(module, chosen.get("weight_decay", 0.0))
    devices = {p.device.type for group in groups for p in group["params"]}
    if "fused" in chosen or not has_fused(factory, devices):
        return factory(groups)
    if any(chosen.get(other) for other in ("foreach", "differentiable", "capturable")):
        return factory(groups)
    optimizer = factory(groups, fused=True)
    optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]
    return optimizer


def has_fused(factory: Callable[..., Optimizer], devices: Set[str]) -> bool:
    """Whether an optimiser, or a partial of one, has a fused step for parameters on such devices.

    Args:
        factory: As `make_optimizer` takes it.
        devices: Types of device, e.g. `cuda`.
    """
    if "fused" not in inspect.signature(factory).parameters or not devices <= {"cpu", "cuda"}:
        return False
    kind = factory.func if isinstance(factory, partial) else factory
    return "cuda" not in devices or (isinstance(kind, type) and issubclass(kind, FUSED_ON_CUDA))


def poly_factor(step: int, total_steps: int, exponent: float = 0.9) -> float:
    """(1 - step / total)^exponent, from 1 down to 0 (Chen et al. 2017, nnU-Net)."""
    return max(1 - step / total_steps, 0.0) ** exponent


def cosine_factor(step: int, total_steps: int, warmup: float = 0.05, final: float = 0.0) -> float:
    """Linear rise over the first `warmup` share of steps, then half a cosine down to `final`.

    Args:
        step: From 0.
        total_steps: Where `final` is reached.
        warmup: Share of all steps; the first step already learns.
        final: Factor at the end.
    """
    rise = round(warmup * total_steps)
    if step < rise:
        return (step + 1) / rise
    progress = min((step - rise) / max(total_steps - rise, 1), 1.0)
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))


def poly(optimizer: Optimizer, total_steps: int, *, exponent: float = 0.9) -> dict[str, Any]:
    """Polynomial decay to zero, see `poly_factor`."""
    return _each_step(optimizer, lambda step: poly_factor(step, total_steps, exponent))


def cosine(
    optimizer: Optimizer, total_steps: int, *, warmup: float = 0.05, final: float = 0.0
) -> dict[str, Any]:
    """Warm-up, then cosine decay, see `cosine_factor`."""
    return _each_step(optimizer, lambda step: cosine_factor(step, total_steps, warmup, final))


def constant(optimizer: Optimizer, total_steps: int) -> dict[str, Any]:
    """The optimiser's own learning rate throughout."""
    return _each_step(optimizer, lambda step: 1.0)


def one_cycle(optimizer: Optimizer, total_steps: int, *, rise: float = 0.3) -> dict[str, Any]:
    """Up to the optimiser's learning rate and down again (Smith 2018); momentum stays as set.

    Args:
        optimizer: Its learning rates are the peaks.
        total_steps: Length of the cycle.
        rise: Share of the steps that go up.
    """
    peaks = [group["lr"] for group in optimizer.param_groups]
    schedule = OneCycleLR(
        optimizer, peaks, total_steps=total_steps, pct_start=rise, cycle_momentum=False
    )
    return {"scheduler": schedule, "interval": "step"}


def plateau(
    optimizer: Optimizer, total_steps: int, *, factor: float = 0.5, patience: int = 10
) -> dict[str, Any]:
    """Lowers the learning rate when the mean validation Dice stops rising.

    Args:
        optimizer: What is scheduled.
        total_steps: Not needed.
        factor: What the learning rate is multiplied by.
        patience: Epochs without a better Dice; those without validation count too.
    """
    schedule = ReduceLROnPlateau(optimizer, mode="max", factor=factor, patience=patience)
    return {
        "scheduler": schedule,
        "interval": "epoch",
        "monitor": "val/dice_mean",
        "strict": False,  # the first epochs may end before there is a validation
    }


def _each_step(optimizer: Optimizer, factor: Callable[[int], float]) -> dict[str, Any]:
    return {"scheduler": LambdaLR(optimizer, factor), "interval": "step"}
