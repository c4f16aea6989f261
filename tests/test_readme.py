"""What the README promises, done."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_it_stays_one_screen() -> None:
    assert len(README.splitlines()) <= 60


def test_the_two_commands_are_targets() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"make ([a-z-]+)", README)
    assert targets[:2] == ["run", "test"]
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


@pytest.mark.parametrize("path", re.findall(r"(?:experiments|sweeps)/\w+\.py", README))
def test_commands_exist(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.slow
def test_the_wheel_carries_the_configs(tmp_path: Path) -> None:
    copy = tmp_path / "copy"  # building leaves folders behind
    shutil.copytree(ROOT / "lightning_brats", copy / "lightning_brats")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", tmp_path, copy]
    subprocess.run(build, check=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    for source in (ROOT / "lightning_brats").rglob("*"):
        if source.suffix in (".yaml", ".j2", ".css", ".js", ".py"):
            assert str(source.relative_to(ROOT)) in inside
