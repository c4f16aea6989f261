"""`sweeps/run.py` and `sweeps/status.py`."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from rich.live import Live

from lightning_brats.errors import BratsError, ConfigError
from lightning_brats.parts import plain
from lightning_brats.sweeps import printing
from lightning_brats.sweeps.host import Crew, share_out, visible_gpus
from lightning_brats.sweeps.ledger import Ledger
from lightning_brats.sweeps.plan import Plan
from lightning_brats.sweeps.worker import BROKEN, DONE, FAILING, STOPPED

SWEEPS = Path(__file__).parent / "configs" / "sweep"
CHECKED = 60
"""Cells whose overrides are composed before anything runs."""


class InterruptedRunError(BratsError):
    """The sweep was asked to stop; trials that ran are waiting again."""


def run(cfg: DictConfig) -> None:
    """Work through a study, from the beginning or from where it stands.

    Raises:
        ConfigError: The sweep cannot work, or its trials all fail.
        InterruptedRunError: It was asked to stop.
    """
    plan = Plan(_settings(cfg))
    plan.sampler(0)
    if plan.settings["command"] is None:
        check_cells(plan)
    slots = share_out(cfg.workers, cfg.gpus_per_trial, visible_gpus())
    ledger = Ledger(plan, create=True)
    added = ledger.fill(cfg.retry_failed)
    found = ledger.entries()
    printing.heading(plan, found, added, slots)
    past = frozenset(entry.trial.number for entry in found if entry.state == "failed")
    status = Crew(plan.settings, slots, past).run()
    printing.closing(ledger)
    _conclude(status, plan)


def status(cfg: DictConfig) -> None:
    """Show where a study stands; live, until Ctrl-C, where somebody watches."""
    ledger = Ledger(Plan(_settings(cfg)))
    plan, console = ledger.plan, printing.console
    if not (cfg.watch and console.is_terminal):
        console.print(printing.picture(plan, ledger.entries()))
        return
    rows = max(5, console.height - 8)
    with Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(printing.picture(plan, ledger.entries(), rows), refresh=True)
            time.sleep(cfg.interval)


def check_cells(plan: Plan) -> None:
    """Compose the first cells of a grid, so that a misspelt name shows before anything runs.

    Raises:
        ConfigError: One of them does not compose.
    """
    cells = plan.cells if plan.space is None else [plan.complete()]
    GlobalHydra.instance().clear()  # the sweep's own configuration is composed by now
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        for cell in cells[:CHECKED]:
            try:
                compose("run", [*cell, *plan.local])
            except HydraException as error:
                raise ConfigError(f"{shlex.join(cell)} does not compose: {error}") from error


def _settings(cfg: DictConfig) -> dict[str, Any]:
    if cfg.grid is None and cfg.space is None:
        names = sorted(path.stem for path in SWEEPS.glob("*.yaml"))
        raise ConfigError(
            "name what to run",
            remedy=f"sweep= one of {', '.join(names)}, or your own: --config-dir=FOLDER "
            "sweep=NAME with FOLDER/sweep/NAME.yaml",
        )
    if cfg.name is None:
        raise ConfigError("the study needs a name", remedy="name=my_study")
    return plain(cfg)


def _conclude(status: int, plan: Plan) -> None:
    again = shlex.join(["python", *sys.argv])
    if status == STOPPED:
        raise InterruptedRunError(
            "stopped as asked; trials that ran are waiting again", remedy=f"go on with: {again}"
        )
    if status == FAILING:
        raise ConfigError(
            f"the last {plan.settings['max_failures']} trials failed, so the sweep stopped",
            file=plan.folder,
            remedy="read their logs; then give the command again with retry_failed=true",
        )
    if status == BROKEN:
        raise ConfigError(
            "a worker could not go on (see above)", remedy=f"then go on with: {again}"
        )
    assert status == DONE
