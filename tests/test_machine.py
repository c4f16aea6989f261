import os
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest
from omegaconf import OmegaConf
from test_commands import ROOT

from lightning_brats.errors import ConfigError
from lightning_brats.machine import (
    Machine,
    _allowed_memory,
    choose,
    detect,
    listed_devices,
    task_cores,
)
from lightning_brats.parallel import cores

LAPTOP = Machine("cpu", 2, 16, (), 0)
SERVER = Machine("cpu", 32, 256, ("H200", "H200"), 140)
SMALL = Machine("cpu", 8, 32, ("T4",), 8)
SHAPE = (140, 171, 137)


def test_two_cores_keep_training_and_reading_apart() -> None:
    best = choose(LAPTOP, 1, SHAPE, 3)
    assert best.workers <= 1
    assert best.threads <= 2
    assert best.patch_size == (48, 48, 48)
    assert best.batch_size == 2


def test_processes_share_the_cores() -> None:
    assert choose(LAPTOP, 2, SHAPE, 3).threads == 1
    assert choose(SERVER, 2, SHAPE, 3).workers == 8


def test_patches_grow_with_the_gpu_but_not_beyond_the_volume() -> None:
    assert choose(SERVER, 1, SHAPE, 3).patch_size == (128, 128, 128)
    assert choose(SMALL, 1, SHAPE, 3).patch_size == (96, 96, 96)
    assert choose(SERVER, 1, (70, 90, 60), 3).patch_size == (80, 96, 64)


def test_slices_are_one_voxel_deep() -> None:
    best = choose(SERVER, 1, SHAPE, 2)
    assert best.patch_size == (144, 176, 1)
    assert best.batch_size == 16


@pytest.mark.parametrize(
    ("flags", "precision"), [("avx2 avx512_bf16", "bf16-mixed"), ("avx2 avx512f", "32-true")]
)
def test_reduced_precision_needs_hardware(monkeypatch, flags: str, precision: str) -> None:
    monkeypatch.setattr("lightning_brats.machine._cpu_field", lambda name: flags)
    assert choose(LAPTOP, 1, SHAPE, 3).precision == precision


def test_a_container_s_limits_count(tmp_path: Path) -> None:
    total = psutil.virtual_memory().total
    assert (cores(tmp_path), _allowed_memory(tmp_path)) == (cores(), total)
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert (cores(tmp_path), _allowed_memory(tmp_path)) == (cores(), total)
    (tmp_path / "cpu.max").write_text("150000 100000\n")  # docker --cpus=1.5
    (tmp_path / "memory.max").write_text("536870912\n")
    assert (cores(tmp_path), _allowed_memory(tmp_path)) == (1, 2**29)
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert cores(tmp_path) == 1


@pytest.mark.parametrize(
    ("devices", "numbers"),
    [
        (2, [0, 1]),
        ("2", [0, 1]),
        ([1], [1]),
        (OmegaConf.create([0, 2]), [0, 2]),
        ("0,2", [0, 2]),
        ("1,", [1]),
        ("auto", None),
        (-1, None),
        ("-1", None),
        (None, None),
    ],
)
def test_devices_are_listed_as_lightning_takes_them(
    devices: Any, numbers: list[int] | None
) -> None:
    assert listed_devices(devices) == numbers


@pytest.mark.parametrize("devices", ["two", "", [], 1.5])
def test_what_names_no_devices_is_said(devices: Any) -> None:
    with pytest.raises(ConfigError, match=r"trainer\.devices=.* names no devices"):
        listed_devices(devices)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("SLURM_CPUS_PER_TASK", "8", 8),
        ("SLURM_CPUS_PER_TASK", None, None),
        ("SLURM_STEP_ID", None, None),  # the batch script itself
        ("SLURM_JOB_NAME", "bash", None),  # a shell, in which Lightning starts the processes
        ("TORCHELASTIC_RUN_ID", "77", None),  # torchrun, of whose processes each is one of several
    ],
)
def test_cores_of_a_task_are_its_own(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str | None, expected: int | None
) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    for key, usual in (("CPUS_PER_TASK", "8"), ("STEP_ID", "0"), ("NTASKS", "4")):
        monkeypatch.setenv(f"SLURM_{key}", usual)
    monkeypatch.setenv("SLURM_JOB_NAME", "brats")
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    assert task_cores() == expected


def test_the_batch_script_gives_each_task_its_cores(tmp_path: Path) -> None:
    srun = tmp_path / "srun"
    srun.write_text('#!/bin/sh\necho "$@"\n')
    srun.chmod(0o755)
    told = {"CPUS_PER_TASK": "8", "JOB_ID": "77", "NNODES": "2", "NTASKS_PER_NODE": "4"}
    environment = {f"SLURM_{key}": value for key, value in told.items()}
    done = subprocess.run(
        ["bash", str(ROOT / "experiments" / "slurm.sbatch"), "model=unet"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == (
        "--cpus-per-task=8 python experiments/run.py name=job-77 resume=auto trainer.num_nodes=2 "
        "trainer.devices=4 trainer.strategy=ddp model=unet\n"
    )


def test_this_machine_is_seen() -> None:
    machine = detect()
    assert machine.cores >= 1
    assert machine.memory_gb > 0.5
    assert str(machine.cores) in machine.summary
