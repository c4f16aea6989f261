"""Which number type a network is run in."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal

import torch

Precision = Literal["auto", "32", "bf16", "16"]

TYPES = {"32": torch.float32, "bf16": torch.bfloat16, "16": torch.float16}


def compute_type(precision: Precision, device: torch.device) -> torch.dtype:
    """Type of the heavy operations; `auto` is the narrowest the device has instructions for.

    Emulated half precision is slower than float32, so `auto` never asks for it.
    """
    if precision != "auto":
        return TYPES[precision]
    if device.type == "cuda":
        major, _ = torch.cuda.get_device_capability(device)
        return torch.bfloat16 if major >= 8 else torch.float16
    if device.type == "cpu":
        # An older torch does not tell, and then runs in float32.
        has: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
        if has.get("avx512_bf16") or has.get("amx_bf16"):
            return torch.bfloat16
    return torch.float32


def autocast(dtype: torch.dtype, device: torch.device) -> AbstractContextManager:
    """Autocast to `dtype`, or nothing where it is float32."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)
