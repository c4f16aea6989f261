"""`torch.compile` by a switch, with the way back where it fails."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from lightning_brats.task import SegmentationTask


class CompiledNetwork(pl.Callback):
    """Compiles the network before the first step; where that fails, says so and trains uncompiled.

    A patch of zeros goes forward and backward, so that a missing C++ compiler or an operation that
    cannot be compiled shows here and not in an hour. Weights, running averages and random numbers
    stay as they were. Whole volumes, whose windows come in batches of several sizes, are predicted
    uncompiled.

    Args:
        shape: (B, C, X, Y, Z) of a training batch.
        mode: Of `torch.compile`: `default`, `reduce-overhead` or `max-autotune`.
    """

    def __init__(self, shape: Sequence[int], mode: str = "default") -> None:
        self.shape, self.mode = tuple(shape), mode
        self.failure: str | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compile and try."""
        assert isinstance(pl_module, SegmentationTask)
        net, device = pl_module.net, pl_module.device
        net.compile(mode=self.mode)
        example = torch.zeros(self.shape, device=device)
        try:
            with _unchanged(net, device), trainer.precision_plugin.forward_context():
                outputs: Any = pl_module(example)
                outputs = [outputs] if isinstance(outputs, Tensor) else outputs
                torch.stack([output.float().mean() for output in outputs]).sum().backward()
        except Exception as error:  # the compiler's errors are of many kinds
            net._compiled_call_impl = None  # type: ignore[assignment]
            self.failure = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
            if trainer.is_global_zero:
                warnings.warn(
                    f"torch.compile failed, so the network runs uncompiled ({self.failure})",
                    stacklevel=2,
                )

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Whole volumes uncompiled."""
        torch.compiler.set_stance("force_eager")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Patches compiled again."""
        torch.compiler.set_stance("default")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """What follows training is whole volumes."""
        assert isinstance(pl_module, SegmentationTask)
        pl_module.net._compiled_call_impl = None  # type: ignore[assignment]

    def on_exception(self, *args: Any) -> None:
        """Leave no trace in a notebook that lives on."""
        torch.compiler.set_stance("default")


@contextmanager
def _unchanged(net: nn.Module, device: torch.device) -> Iterator[None]:
    """Buffers, gradients and random numbers are as before afterwards."""
    buffers = {name: buffer.clone() for name, buffer in net.named_buffers()}
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        try:
            yield
        finally:
            for name, buffer in net.named_buffers():
                buffer.copy_(buffers[name])
            net.zero_grad(set_to_none=True)
