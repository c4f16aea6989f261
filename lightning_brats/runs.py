"""Run folders: where results go, what is written about the run, and finding one to go on with."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lightning_brats import __version__, ranks
from lightning_brats.continuing import JOINT, changed, joint_batch
from lightning_brats.data.audit import check_writable
from lightning_brats.errors import ConfigError
from lightning_brats.machine import Machine
from lightning_brats.parts import plain

RUN_VARIABLE = "LIGHTNING_BRATS_RUN"
"""Tells the processes of a distributed run the folder that the first one made."""

_announced: set[str] = set()
"""Folders that this process chose: the next run in it (`--multirun`, a notebook) chooses anew."""

LAST = Path("checkpoints") / "last.ckpt"
FREE_KEYS = (
    "resume",
    "resolved",
    "runs",
    "tracking",
    "trainer.strategy",
    "queue.workers",
)
"""Settings that may differ between a run and its continuation."""

PACKAGES = ("torch", "pytorch-lightning", "torchio", "monai", "hydra-core", "numpy", "nibabel")


def run_folder(cfg: DictConfig) -> tuple[Path, bool]:
    """The run's folder, and whether an unfinished run goes on in it.

    Raises:
        DataError: The folder cannot be written to.
        ConfigError: `resume` names no run, or one with other settings.
    """
    given = os.environ.get(RUN_VARIABLE)
    if given and given not in _announced:
        folder = Path(given)
        return folder, (folder / LAST).exists()
    name, resumed = ranks.shared(lambda: _chosen_folder(cfg))
    os.environ[RUN_VARIABLE] = name
    _announced.add(name)
    return Path(name), resumed


def _chosen_folder(cfg: DictConfig) -> tuple[str, bool]:
    parent = Path(cfg.runs) / cfg.name
    found = _resumable(cfg.resume, parent)
    if found is not None:
        _check_same(cfg, found)
        return str(found.resolve()), True
    return str(new_folder(parent)), False


def new_folder(parent: Path) -> Path:
    """A new `<parent>/<date-time>/`; of two runs in one second the later gets the next one.

    Raises:
        DataError: It cannot be written to.
    """
    parent = parent.resolve()
    check_writable(parent)
    began = datetime.now()
    while True:
        folder = parent / began.strftime("%Y-%m-%d_%H-%M-%S")
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            began += timedelta(seconds=1)


@contextmanager
def removed_if_unused(folder: Path) -> Iterator[None]:
    """Leave no empty folder behind where a run fails before it starts.

    Args:
        folder: Of the run; one that was given from outside stays.
    """
    try:
        yield
    except BaseException:
        if str(folder) in _announced:
            with suppress(OSError):  # what is in it says why, or another process has removed it
                folder.rmdir()
        raise


def describe_environment(machine: Machine, seed: int) -> dict[str, Any]:
    """Versions, commit, hardware, seed and command, for `environment.json`."""
    versions = {"lightning_brats": __version__, "python": platform.python_version()}
    versions |= {name: importlib.metadata.version(name) for name in PACKAGES}
    return {
        "command": shlex.join(["python", *sys.argv]),
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "commit": _commit(),
        "versions": versions,
        "hardware": {
            "summary": machine.summary,
            "cpu": machine.cpu,
            "cores": machine.cores,
            "memory_gb": machine.memory_gb,
            "gpu": list(machine.gpus),
        },
        "seed": seed,
    }


def continue_command() -> str:
    """The command that goes on with this run, should it stop."""
    arguments = [argument for argument in sys.argv if not argument.startswith("resume=")]
    return shlex.join(["python", *arguments, "resume=auto"])


def write_json(path: Path, content: Any) -> None:
    """Write readable JSON in one step."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=2, default=str) + "\n")
    partial.replace(path)


def _resumable(resume: str | None, parent: Path) -> Path | None:
    if resume is None:
        return None
    if resume == "auto":
        runs = sorted(parent.glob("*/"), reverse=True) if parent.exists() else []
        unfinished = (r for r in runs if (r / LAST).exists() and not (r / "report.html").exists())
        return next(unfinished, None)
    folder = Path(resume)
    if not (folder / LAST).exists():
        raise ConfigError(
            "the run to go on with has no saved state",
            file=folder / LAST,
            remedy="name the folder of a run (runs/<model>/<date-time>), or resume=auto",
        )
    return folder


def _check_same(cfg: DictConfig, folder: Path) -> None:
    saved = folder / "config.yaml"
    if not saved.exists():
        raise ConfigError("the run to go on with has no configuration", file=saved)
    before, now = flat(OmegaConf.load(saved)), flat(cfg)
    names = [
        key
        for key in changed(now, before)
        if not any(key == free or key.startswith(f"{free}.") for free in FREE_KEYS)
    ]
    if not names:
        return
    listed = ", ".join(f"{n}: {before.get(n)} → {now.get(n)}" for n in names[:6])
    remedy = "give the same overrides as before, or start anew without resume"
    if joint_batch(before) is not None and set(names) <= set(JOINT):
        remedy += f", or keep {' × '.join(JOINT)} at {joint_batch(before)}"
    raise ConfigError(
        f"the run to go on with has other settings ({listed})", file=folder, remedy=remedy
    )


def flat(cfg: Any, prefix: str = "") -> dict[str, Any]:
    """`{"queue.batch_size": 2, …}` of a nested configuration."""
    out: dict[str, Any] = {}
    for key, value in (plain(cfg) if OmegaConf.is_config(cfg) else cfg).items():
        name = f"{prefix}{key}"
        out |= flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return out


def _commit() -> str | None:
    """Commit of the checkout the package runs from, with `+` where it was changed."""
    folder = Path(__file__).parent
    git = ["git", "-C", str(folder)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True)
        changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True)
    except OSError:
        return None
    if head.returncode:
        return None
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")
