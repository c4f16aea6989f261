"""A loss or gradient that is no number: skipped once, then the run stops and names the cases."""

from __future__ import annotations

import sys
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import FSDPStrategy
from torch import Tensor
from torch.optim import Optimizer

from lightning_brats.errors import BratsError


class DivergedRunError(BratsError):
    """Training was stopped because its gradients are no numbers."""


class SkipNonFinite(pl.Callback):
    """Leaves out an optimiser step whose gradient holds NaN or infinity.

    Weights, momenta and step counts stay as they were. A fused optimiser on a GPU is told by a flag
    on the device, which is read one step later, so that no step waits for it; with others, such as
    RMSprop, each step waits for the answer. With fp16 the gradient scaler skips steps as a matter
    of course, whenever its scale was too large; there the loss is judged, which in single precision
    no scale makes infinite.

    Args:
        allowed: Steps that may be skipped, with a warning, before the run stops.
    """

    def __init__(self, allowed: int = 1) -> None:
        self.allowed, self.skipped = allowed, 0
        self._cases: list[str] = []
        self._losses: list[Tensor] = []
        self._asked: _Question | None = None

    def state_dict(self) -> dict[str, Any]:
        """Steps skipped so far."""
        return {"skipped": self.skipped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Steps skipped before the run stopped."""
        self.skipped = state_dict["skipped"]

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Remember which cases the next step is made from."""
        self._cases += list(batch.get("case", ()))

    def on_before_backward(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor
    ) -> None:
        """Remember the losses that the next step is made from."""
        if trainer.scaler is not None:
            self._losses.append(loss.detach())

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Leave the step out where its gradient is no number.

        Raises:
            DivergedRunError: More steps than allowed had to be left out.
        """
        cases, self._cases = self._cases, []
        self._answer(trainer)
        scaled = trainer.scaler is not None
        bad = self._bad_losses(trainer) if scaled else _bad_gradients(trainer, pl_module)
        if bad is None:
            return
        if bad.is_cuda and (scaled or heeds_flag(optimizer)):
            if not scaled:
                optimizer.found_inf = bad.float()  # type: ignore[attr-defined]
            self._asked = _Question(bad, trainer.global_step, cases)
        elif bool(bad):
            if not scaled:
                for parameter in pl_module.parameters():
                    parameter.grad = None
            self._skip(trainer, trainer.global_step, cases)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The last step's answer is in too."""
        self._answer(trainer)

    def _bad_losses(self, trainer: pl.Trainer) -> Tensor | None:
        """Whether a loss of this step, on any rank, is no number."""
        losses, self._losses = self._losses, []
        if not losses:
            return None
        bad = ~torch.isfinite(torch.stack([loss.float() for loss in losses]).sum())
        # Gradients are reduced by now, losses are each rank's own.
        return _on_any_rank(bad) if trainer.world_size > 1 else bad

    def _answer(self, trainer: pl.Trainer) -> None:
        """What became of the step before."""
        asked, self._asked = self._asked, None
        if asked is not None and asked.answer():
            self._skip(trainer, asked.step, asked.cases)

    def _skip(self, trainer: pl.Trainer, step: int, cases: list[str]) -> None:
        self.skipped += 1
        named = ", ".join(dict.fromkeys(_everywhere(trainer, cases)))
        problem = f"step {step}: the loss or its gradient is not a number"
        if self.skipped > self.allowed:
            raise DivergedRunError(
                f"{problem}, {self.skipped} times now; the batch's cases: {named}",
                remedy="look at these cases (experiments/prepare.py verify=true), lower "
                "optimizer.lr, or use trainer.precision=32-true; the last checkpoint is intact",
            )
        if trainer.is_global_zero:
            print(f"\n{problem}; skipped. The batch's cases: {named}", file=sys.stderr, flush=True)


class _Question:
    """A truth value on its way from the GPU, and the step it is about."""

    def __init__(self, value: Tensor, step: int, cases: list[str]) -> None:
        self.step, self.cases = step, cases
        self._value = value.to("cpu", non_blocking=True)
        self._arrived = torch.cuda.Event()
        self._arrived.record()

    def answer(self) -> bool:
        """The value; waits for it alone, not for what was asked of the GPU since."""
        self._arrived.synchronize()
        return bool(self._value)


def heeds_flag(optimizer: Optimizer) -> bool:
    """Whether a flag on the device (`found_inf`) makes an optimiser leave its next step out.

    Fused ones do. Momenta, though, torch's SGD makes in its first step, of whatever lies in memory
    where that step is left out.
    """
    if not optimizer.defaults.get("fused"):
        return False
    stepping = (p for group in optimizer.param_groups for p in group["params"])
    return not optimizer.defaults.get("momentum") or all(
        optimizer.state.get(p) for p in stepping if p.grad is not None
    )


def _bad_gradients(trainer: pl.Trainer, module: pl.LightningModule) -> Tensor | None:
    """Whether a gradient is no number; `None` where there is none."""
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    sharded = trainer.world_size > 1 and isinstance(trainer.strategy, FSDPStrategy)
    bad = None
    if gradients:
        norms = torch._foreach_norm(gradients)
        bad = ~torch.isfinite(torch.stack([norm.float() for norm in norms]).sum())
    if sharded:  # each rank sees a share, perhaps none, and all have to skip the same step
        own = torch.zeros((), dtype=torch.bool, device=module.device) if bad is None else bad
        bad = _on_any_rank(own)
    return bad


def _on_any_rank(bad: Tensor) -> Tensor:
    """Whether it is true of one of the processes, on all of them."""
    count = bad.float()
    torch.distributed.all_reduce(count)
    return count > 0


def _everywhere(trainer: pl.Trainer, cases: list[str]) -> list[str]:
    """Cases of all ranks: after the reduction of gradients all skip the same step."""
    if trainer.world_size == 1:
        return cases
    gathered: list[list[str]] = [[] for _ in range(trainer.world_size)]
    torch.distributed.all_gather_object(gathered, cases)
    return [case for part in gathered for case in part]
