"""Energy that a GPU has used, where it reports that."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch

JOULES_PER_WATT_HOUR = 3600


def joules_used() -> float | None:
    """Energy of this process' GPU since its driver was loaded, all processes on it together.

    Returns:
        `None` without a GPU in use, without `nvidia-ml-py`, or where the GPU does not report it.
    """
    if not torch.cuda.is_initialized():
        return None
    read = _counter(torch.cuda.current_device())
    return None if read is None else read()


@cache
def _counter(index: int) -> Callable[[], float] | None:
    """Reads the counter of a device, by torch's number; NVML's differs where some are hidden."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        name = f"GPU-{torch.cuda.get_device_properties(index).uuid}"
        handle = pynvml.nvmlDeviceGetHandleByUUID(name)
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except pynvml.NVMLError:
        return None
    return lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000
