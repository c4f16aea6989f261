"""`experiments/dashboard.py`: a workspace and a report of a project's runs, sent or written."""

from __future__ import annotations

import importlib.util
import shlex
import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lightning_brats import tracking
from lightning_brats.comparison.choices import OPTIONS
from lightning_brats.dashboard import axes
from lightning_brats.data.audit import check_writable
from lightning_brats.errors import ConfigError

MODES = ("auto", "online", "offline")


def run(cfg: DictConfig) -> tuple[str, str] | None:
    """Build the dashboard; see `configs/dashboard.yaml`.

    Returns:
        Addresses of workspace and report, or `None` where they were written to files.

    Raises:
        BratsError: Something the user can put right.
    """
    given: Any = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    title = given["title"] or f"Comparison of {given['group'] or given['project']}"
    _check(given)
    online = tracking.resolve_mode(given["mode"]) in ("online", "shared")
    if not online:
        check_writable(Path(given["output"]))
    runs = Path(given["runs"] or Path("runs") / (given["group"] or ""))
    found = _axes(runs, given)
    # Imported once it is known to be installed.
    from lightning_brats.dashboard.building import Plan, build_report, build_workspace, check_title
    from lightning_brats.dashboard.publishing import publish, write

    check_title(title)
    entity = given["entity"] or (_own_entity() if online else "")
    regions, by = tuple(given["regions"]), tuple(given["by"])
    plan = Plan(entity, given["project"], title, given["group"], regions, by, found)
    workspace, report = build_workspace(plan), build_report(plan)
    if not online:
        _say_how_to_send(write(workspace, report, Path(given["output"])), given, runs)
        return None
    with tracking.answering(remedy="check project and entity, or only write it: mode=offline"):
        addresses = publish(workspace, report)
    print(f"workspace  {addresses[0]}\nreport     {addresses[1]}")
    return addresses


def _check(given: dict[str, Any]) -> None:
    if importlib.util.find_spec("wandb_workspaces") is None:
        raise ConfigError(
            "W&B dashboards need the package wandb-workspaces",
            remedy="pip install -e '.[dashboard]'",
        )
    if given["mode"] not in MODES:
        raise ConfigError(f"mode={given['mode']} is unknown", remedy=f"one of {', '.join(MODES)}")
    if unknown := [name for name in given["by"] if name not in OPTIONS]:
        raise ConfigError(
            f"runs cannot be grouped by {', '.join(unknown)}",
            remedy=f"by= takes any of {', '.join(OPTIONS)}",
        )


def _axes(runs: Path, given: dict[str, Any]) -> tuple[axes.Axis, ...]:
    """Settings that differ between the runs, else the config groups."""
    if given["runs"] and not runs.is_dir():
        raise ConfigError("there is no such folder of runs", file=runs, remedy="correct runs=")
    if found := axes.varied(runs):
        return found
    print(
        f"no runs that differ under {runs}: the axes are {', '.join(given['by'])} "
        "(runs=FOLDER takes the settings that differ between the runs there)"
    )
    return axes.options(given["by"])


def _own_entity() -> str:
    with tracking.answering(remedy="wandb login, or entity=NAME"):
        entity = tracking.own_entity()
    if not entity:
        raise ConfigError("W&B names no default entity for you", remedy="entity=NAME")
    return entity


def _say_how_to_send(written: list[Path], given: dict[str, Any], runs: Path) -> None:
    again = [word for word in sys.argv if not word.startswith("mode=")]
    place = ["--project", given["project"]]
    if given["entity"]:
        place += ["--entity", given["entity"]]
    find = shlex.join(["find", str(runs), "-type", "d", "-name", "offline-run-*"])
    print("written, not sent (W&B is offline, or nobody is logged in):")
    print("".join(f"  {path}\n" for path in written), end="")
    print("to send runs and dashboard, where there is a network and WANDB_MODE is not set:")
    print("  wandb login")
    print(f"  {find} -exec wandb sync {shlex.join(place)} {{}} +")
    print(f"  {shlex.join(['python', *again])}")
