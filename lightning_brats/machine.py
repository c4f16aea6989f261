"""What this machine is, and the defaults that fit it.

Two busy processes on two cores make torch several times slower, so threads and workers are shared
out: the trainer gets the cores that the workers leave.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from lightning_fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment

from lightning_brats.errors import ConfigError
from lightning_brats.parallel import CGROUP, cores, first_line


@dataclass(frozen=True)
class Machine:
    """Hardware that matters for training."""

    cpu: str
    cores: int
    memory_gb: float
    gpus: tuple[str, ...]
    gpu_memory_gb: float

    @property
    def summary(self) -> str:
        """One line for people."""
        cpu = f"{self.cores} cores, {self.memory_gb:.0f} GB memory"
        if not self.gpus:
            return f"{cpu}, no GPU"
        return f"{len(self.gpus)} × {self.gpus[0]} ({self.gpu_memory_gb:.0f} GB), {cpu}"


@dataclass(frozen=True)
class Defaults:
    """What `auto` stands for on a machine.

    Args:
        workers: Processes that read and augment, for each training process.
        threads: Threads of torch in each training process.
        precision: Lightning's name.
        patch_size: (px, py, pz) voxels.
        batch_size: Patches in a step, on each device.
    """

    workers: int
    threads: int
    precision: str
    patch_size: tuple[int, int, int]
    batch_size: int


def detect() -> Machine:
    """Look at the machine; only cores and memory that this process may use count."""
    count = torch.cuda.device_count()
    properties = [torch.cuda.get_device_properties(i) for i in range(count)]
    return Machine(
        cpu=_cpu_name(),
        cores=cores(),
        memory_gb=round(_allowed_memory() / 2**30, 1),
        gpus=tuple(p.name for p in properties),
        gpu_memory_gb=round(min((p.total_memory for p in properties), default=0) / 2**30, 1),
    )


def listed_devices(devices: Any) -> list[int] | None:
    """Numbers of the devices that `trainer.devices` asks for; `None` for all there are.

    Args:
        devices: As Lightning takes it: a count, `[0, 2]`, `"0,2"`, `"2"`, `-1` or `auto`.

    Raises:
        ConfigError: It is none of these.
    """
    text = str(devices)
    if text in ("auto", "None", "-1"):
        return None
    parts = [part.strip() for part in text.strip("[]").split(",") if part.strip()]
    if not parts or not all(part.isdigit() for part in parts):
        raise ConfigError(
            f"trainer.devices={text} names no devices",
            remedy="a count (trainer.devices=2), their numbers (trainer.devices=[0,1]) or auto",
        )
    numbers = [int(part) for part in parts]
    return numbers if "," in text or "[" in text else list(range(numbers[0]))


def task_cores() -> int | None:
    """Cores that `srun --cpus-per-task` gave this process alone; `None` where it gave none.

    Under torchrun one task starts several processes, which share what it was given.
    """
    number = os.environ.get("SLURM_CPUS_PER_TASK", "")
    started = "SLURM_STEP_ID" in os.environ and SLURMEnvironment.detect()
    own = started and not TorchElasticEnvironment.detect()
    return int(number) if own and number.isdigit() else None


def choose(machine: Machine, processes: int, shape: Sequence[int], spatial_dims: int) -> Defaults:
    """Defaults for training.

    Args:
        machine: Where.
        processes: Training processes that share it.
        shape: (x, y, z) of a typical cropped volume: a patch need not be larger.
        spatial_dims: 2 for slices.
    """
    share = max(1, machine.cores // processes)
    if machine.gpus:
        workers = min(max(share - 1, 1), 8)
    else:
        workers = min(max(share // 4, 1), 4) if share > 1 else 0
    threads = share if machine.gpus or workers == 0 else max(1, share - workers // 2)
    edge = _edge(machine, spatial_dims)
    patch = [min(edge, -(-size // 16) * 16) for size in shape]
    if spatial_dims == 2:
        patch[2] = 1
    return Defaults(
        workers=workers,
        threads=threads,
        precision=_precision(machine),
        patch_size=(patch[0], patch[1], patch[2]),
        batch_size=2 if spatial_dims == 3 else 16,
    )


def _edge(machine: Machine, spatial_dims: int) -> int:
    if spatial_dims == 2:
        return 192
    if not machine.gpus:
        return 48
    return 128 if machine.gpu_memory_gb >= 15 else 96


def _precision(machine: Machine) -> str:
    """bf16 where the hardware multiplies it; it needs no loss scaling. Else fp16 on a GPU."""
    if machine.gpus:
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return "bf16-mixed" if native else "16-mixed"
    flags = _cpu_field("flags") or _cpu_field("Features")
    fast = any(flag in flags.split() for flag in ("avx512_bf16", "amx_bf16", "bf16"))
    return "bf16-mixed" if fast else "32-true"


def _allowed_memory(cgroup: Path = CGROUP) -> int:
    """Bytes; a container's or a job's limit counts."""
    limit = first_line(cgroup / "memory.max")
    total = psutil.virtual_memory().total
    return min(total, int(limit)) if limit.isdigit() else total


def _cpu_name() -> str:
    return _cpu_field("model name") or platform.processor() or platform.machine()


def _cpu_field(name: str) -> str:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return ""
    lines = (line.partition(":") for line in info.read_text().splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() == name), "")
