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


def test_the_notebook_example_runs(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    small = example.replace("max_epochs=5", "max_epochs=1, limit_train_batches=2")
    small = small.replace(
        "BratsDataModule()", "BratsDataModule(load_cases(phantom={'cases': 4, 'spacing': 6.0}))"
    )
    script = tmp_path / "notebook.py"
    script.write_text(
        "from lightning_brats import load_cases\n"
        + small
        + "\npath = trainer.checkpoint_callback.best_model_path"
        + "\nprint('again', type(SegmentationTask.load_from_checkpoint(path).net).__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert "test/dice_mean" in done.stdout
    assert "again UNet" in done.stdout


@pytest.mark.parametrize("path", re.findall(r"experiments/\w+\.py", README))
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
