"""Made-up sweeps whose trials take milliseconds."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
from hydra import compose, initialize_config_module

from lightning_brats.parts import plain
from lightning_brats.sweeps.plan import Plan

FAKE = Path(__file__).with_name("fake_trial.py")
ROOT = Path(__file__).parents[2]
QUICK = ("heartbeat=0.2", "grace=2", f"command=[{sys.executable},-S,-E,{FAKE}]")


def settings(*overrides: str) -> dict[str, Any]:
    """The configuration of `sweeps/run.py` as plain types."""
    with initialize_config_module("lightning_brats.sweeps.configs", version_base="1.3"):
        return plain(compose("run", [*named(overrides)]))


def named(overrides: tuple[str, ...]) -> list[str]:
    """With a name for sweeps that are not shipped: what composes has no Hydra choices."""
    chosen = next((o.partition("=")[2] for o in overrides if o.startswith("sweep=")), "study")
    given = any(o.startswith("name=") for o in overrides)
    return [*([] if given else [f"name={chosen}"]), *overrides]


def plan_of(folder: Path, *overrides: str) -> Plan:
    """In a journal, which opens faster than a database."""
    journal = f"storage=journal:///{folder / 'study.log'}"
    return Plan(settings(f"runs={folder}", *QUICK, journal, *overrides))


def command(script: str, *overrides: str) -> list[str]:
    return [sys.executable, str(ROOT / "sweeps" / script), *named(overrides)]


def call(
    script: str, folder: Path, *overrides: str, gpus: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, trials being the fake ones."""
    typed = command(script, *QUICK, *overrides)
    return subprocess.run(
        typed, cwd=folder, capture_output=True, text=True, timeout=120, env=environment(gpus)
    )


def environment(gpus: str = "") -> dict[str, str]:
    """With GPUs by name, so that nobody has to load torch to count them."""
    return {**os.environ, "CUDA_VISIBLE_DEVICES": gpus}


def runs(folder: Path) -> list[tuple[str, str]]:
    """(event, trial) of all fake trials, in order."""
    path = folder / "events.txt"
    rows = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return [(row[0], row[1]) for row in rows]


def read(path: Path) -> Any:
    return (
        json.loads(path.read_text())
        if path.suffix == ".json"
        else list(csv.DictReader(path.open()))
    )


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
