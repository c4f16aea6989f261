"""Out of memory: which settings to lower, instead of the allocator's words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from omegaconf import DictConfig

from lightning_brats.errors import ConfigError


@contextmanager
def explained_shortage(cfg: DictConfig) -> Iterator[None]:
    """Turn a failed allocation into an error that says what to lower.

    Args:
        cfg: The run's configuration.

    Raises:
        ConfigError: Memory was short.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not _is_shortage(error):
            raise
        patch = "×".join(map(str, cfg.queue.patch_size))
        ways = [f"queue.batch_size={max(1, cfg.queue.batch_size // 2)}"] * (
            cfg.queue.batch_size > 1
        )
        smaller = [size if size == 1 else max(16, size // 32 * 16) for size in cfg.queue.patch_size]
        ways.append(f"queue.patch_size={smaller}".replace(" ", ""))
        if cfg.trainer.precision == "32-true":
            ways.append("trainer.precision=bf16-mixed")
        gan = "generator" in cfg.model
        net = "a smaller model.generator.size" if gan else "a smaller model.size"
        more = "" if gan else "; trainer.accumulate_grad_batches makes up for a smaller batch"
        raise ConfigError(
            f"out of memory with {cfg.queue.batch_size} patches of {patch} voxels in a step "
            f"({str(error).splitlines()[0]})",
            remedy=f"lower the need: {' or '.join(ways)}, or {net}{more}",
        ) from error


def _is_shortage(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return "can't allocate memory" in str(error) or "out of memory" in str(error).lower()
