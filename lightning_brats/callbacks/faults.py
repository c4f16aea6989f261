"""A loss or gradient that is no number: skipped once, then the run stops and names the cases."""

from __future__ import annotations

import sys
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim import Optimizer

from lightning_brats.errors import BratsError


class DivergedRunError(BratsError):
    """Training was stopped because its gradients are no numbers."""


class SkipNonFinite(pl.Callback):
    """Leaves out an optimiser step whose gradient holds NaN or infinity.

    Weights, momenta and step counts stay as they were. A fused optimiser on a GPU is told by a flag
    on the device, which is read one step later, so that no step waits for it. With fp16
    the gradient scaler skips such steps as a matter of course, and this callback does nothing.

    Args:
        allowed: Steps that may be skipped, with a warning, before the run stops.
    """

    def __init__(self, allowed: int = 1) -> None:
        self.allowed, self.skipped = allowed, 0
        self._cases: list[str] = []
        self._asked: tuple[Tensor, int, list[str]] | None = None

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

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Leave the step out where its gradient is no number.

        Raises:
            DivergedRunError: More steps than allowed had to be left out.
        """
        cases, self._cases = self._cases, []
        if trainer.scaler is not None:
            return
        self._answer(trainer)
        gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
        if not gradients:
            return
        norms = torch._foreach_norm(gradients)
        bad = ~torch.isfinite(torch.stack([norm.float() for norm in norms]).sum())
        if bad.is_cuda and optimizer.defaults.get("fused"):
            optimizer.found_inf = bad.float()  # type: ignore[attr-defined]
            answer = bad.to("cpu", non_blocking=True)
            self._asked = (answer, trainer.global_step, cases)
        elif bool(bad):
            for parameter in pl_module.parameters():
                parameter.grad = None
            self._skip(trainer, trainer.global_step, cases)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The last step's answer is in too."""
        self._answer(trainer)

    def _answer(self, trainer: pl.Trainer) -> None:
        """What a fused optimiser did in the step before."""
        if self._asked is None:
            return
        (bad, step, cases), self._asked = self._asked, None
        torch.cuda.current_stream().synchronize()
        if bool(bad):
            self._skip(trainer, step, cases)

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


def _everywhere(trainer: pl.Trainer, cases: list[str]) -> list[str]:
    """Cases of all ranks: after the reduction of gradients all skip the same step."""
    if trainer.world_size == 1:
        return cases
    gathered: list[list[str]] = [[] for _ in range(trainer.world_size)]
    torch.distributed.all_gather_object(gathered, cases)
    return [case for part in gathered for case in part]
