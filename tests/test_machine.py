from pathlib import Path

import psutil
import pytest

from lightning_brats.machine import Machine, _allowed_memory, choose, detect
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


def test_this_machine_is_seen() -> None:
    machine = detect()
    assert machine.cores >= 1
    assert machine.memory_gb > 0.5
    assert str(machine.cores) in machine.summary
