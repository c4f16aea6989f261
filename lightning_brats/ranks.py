"""Processes that a launcher (torchrun, srun) started, before torch.distributed connects them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from torch.distributed import Store, TCPStore

from lightning_brats.errors import ConfigError

RESTARTS = "TORCHELASTIC_RESTART_COUNT"
LIMIT = timedelta(minutes=30)
"""How long processes wait for the first one."""
FAREWELL = timedelta(minutes=1)
"""How long the first one, having failed, waits for the others to hear of it."""


def launched() -> tuple[int, int]:
    """This process's number among those that a launcher started, and how many there are."""
    names = ("RANK", "WORLD_SIZE") if not _by_srun() else ("SLURM_PROCID", "SLURM_NTASKS")
    rank, world = (os.environ.get(name, "") for name in names)
    if rank.isdigit() and world.isdigit():
        return int(rank), max(int(world), 1)
    return 0, 1


def shared(decide: Callable[[], Any]) -> Any:
    """What the first process decides, on all of them.

    Args:
        decide: Called on the first process; gives something that JSON can hold.

    Raises:
        ConfigError: The first process cannot be reached, or failed.
    """
    rank, world = launched()
    if world == 1:
        return decide()
    store, key = _store(rank), f"lightning_brats/{os.environ.get(RESTARTS, 0)}"
    if rank:
        try:
            answer = json.loads(store.get(key))
        except Exception as error:  # torch has a type of its own for each way to fail
            raise _unreachable(error) from error
        store.add(f"{key}/read", 1)
        if "error" in answer:
            raise ConfigError(f"process 0 could not start: {answer['error']}")
        return answer["value"]
    try:
        value = decide()
        store.set(key, json.dumps({"value": value}))
    except Exception as error:
        store.set(key, json.dumps({"error": str(error)}))
        _until_read(store, f"{key}/read", world - 1, FAREWELL)
        raise
    _until_read(store, f"{key}/read", world - 1, LIMIT)
    return value


def _until_read(store: Store, counter: str, readers: int, limit: timedelta) -> None:
    """Keep the store, which may end with this process's variable, until all have read it."""
    deadline = time.monotonic() + limit.total_seconds()
    while store.add(counter, 0) < readers and time.monotonic() < deadline:
        time.sleep(0.05)


def _store(rank: int) -> Store:
    """Where processes of one launch read each other's words."""
    try:
        if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
            host, port, first = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), False
        else:
            host, port = _meeting_point()
            first = rank == 0
        return TCPStore(host, port, is_master=first, timeout=LIMIT, wait_for_workers=False)
    except Exception as error:
        raise _unreachable(error) from error


def _meeting_point() -> tuple[str, int]:
    """Host of the first process, and a port beside the one that training will use."""
    if _by_srun():
        from lightning_fabric.plugins.environments import SLURMEnvironment

        environment = SLURMEnvironment(auto_requeue=False)
        return environment.main_address, environment.main_port + 1
    return os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]) + 1


def _by_srun() -> bool:
    """A batch script has SLURM's variables too; its steps alone have a number.

    A step that starts torchrun leaves the counting to it, as Lightning does.
    """
    interactive = os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")
    counted_by_torchrun = "TORCHELASTIC_RUN_ID" in os.environ
    return "SLURM_STEP_ID" in os.environ and not interactive and not counted_by_torchrun


def _unreachable(error: Exception) -> ConfigError:
    return ConfigError(
        f"the first process of this launch cannot be reached ({str(error).splitlines()[0]})",
        remedy="start all processes by one torchrun or srun; MASTER_ADDR and MASTER_PORT have to "
        "name a host and port that all can reach",
    )
