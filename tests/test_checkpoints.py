import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from lightning_brats.checkpoints import SafeCheckpointIO, is_intact, newest_intact
from lightning_brats.errors import ConfigError, DataError


def save(folder: Path, value: float, name: str = "last.ckpt") -> Path:
    SafeCheckpointIO().save_checkpoint({"w": torch.full((1000,), value)}, folder / name)
    return folder / name


def test_what_is_replaced_is_kept(tmp_path: Path) -> None:
    save(tmp_path, 1.0)
    save(tmp_path, 2.0)
    assert torch.load(tmp_path / "last.ckpt")["w"][0] == 2
    assert torch.load(tmp_path / "previous.ckpt")["w"][0] == 1
    save(tmp_path, 3.0, "best.ckpt")
    save(tmp_path, 4.0, "best.ckpt")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best.ckpt", "last.ckpt", "previous.ckpt"]


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "gone"])
def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path, damage: str) -> None:
    save(tmp_path, 1.0)
    last = save(tmp_path, 2.0)
    content = bytearray(last.read_bytes())
    place = content.find(torch.full((8,), 2.0).numpy().tobytes())
    if damage == "flipped":
        content[place + 5] ^= 1
    last.write_bytes({"cut": content[:-100], "flipped": content, "empty": b""}.get(damage, b""))
    if damage == "gone":
        last.unlink()
    assert newest_intact(tmp_path) == (tmp_path / "previous.ckpt", last)


def test_an_intact_one_is_taken(tmp_path: Path) -> None:
    last = save(tmp_path, 1.0)
    assert is_intact(last)
    assert newest_intact(tmp_path) == (last, None)


def test_nothing_intact_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(b"PK")
    with pytest.raises(ConfigError, match="damaged"):
        newest_intact(tmp_path)


def test_a_disk_without_links_still_keeps_two(tmp_path: Path, monkeypatch) -> None:
    def refuse(*args: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    save(tmp_path, 1.0)
    save(tmp_path, 2.0)
    assert torch.load(tmp_path / "previous.ckpt")["w"][0] == 1


def test_a_full_disk_leaves_the_one_before(tmp_path: Path, monkeypatch) -> None:
    save(tmp_path, 1.0)

    def fill(content: object, stream) -> None:
        stream.write(b"half")
        raise RuntimeError("PytorchStreamWriter failed writing file")

    monkeypatch.setattr(torch, "save", fill)
    with pytest.raises(DataError, match="cannot be written"):
        save(tmp_path, 2.0)
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]
    assert torch.load(tmp_path / "last.ckpt")["w"][0] == 1


WRITER = """
import sys, torch
from pathlib import Path
from lightning_brats.checkpoints import SafeCheckpointIO
for value in range(100000):
    path = Path(sys.argv[1], "last.ckpt")
    SafeCheckpointIO().save_checkpoint({"w": torch.full((300000,), float(value))}, path)
"""


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_an_intact_one(tmp_path: Path) -> None:
    for number in range(12):
        folder = tmp_path / str(number)
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)])
        while not (folder / "last.ckpt").exists():
            time.sleep(0.01)
        time.sleep(0.013 * number)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert is_intact(folder / "last.ckpt")
        assert not (folder / "previous.ckpt").exists() or is_intact(folder / "previous.ckpt")
