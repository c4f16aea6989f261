"""What a trial came to, from its folder and its log."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_brats.errors import DataError
from lightning_brats.sweeps.reporting import PRUNED

SCORE = "val/dice_mean"
"""What a trial reports as it trains, and a search goes by."""
COSTS = ("train_seconds", "parameters", "gflops_per_patch", "peak_memory_mb")
"""Of `summary.json`; what it says of test cases is not for a search."""
TAIL = 12
"""Lines of a log that are kept with a failed trial."""
LONGEST = 1500
"""Characters of them."""


def values(folder: Path, objectives: Mapping[str, str]) -> list[float]:
    """The objectives of a finished run.

    Args:
        folder: The run's, with `metrics.csv` and, for costs, `summary.json`.
        objectives: Name → maximize or minimize: of a column of the table, the best validation
            counts.

    Raises:
        DataError: A value is missing or not finite.
    """
    return [_value(folder, name, direction) for name, direction in objectives.items()]


def _value(folder: Path, name: str, direction: str) -> float:
    if name in COSTS:
        path = folder / "summary.json"
        found = [_read_json(path).get(name)]
    else:
        path = folder / "metrics.csv"
        found = _column(path, name)
    finite = [float(v) for v in found if v not in (None, "") and math.isfinite(float(v))]
    if not finite:
        raise DataError(
            f"the run left no {name}",
            file=path,
            remedy="was there a validation within the budget? trainer.check_val_every_n_epoch",
        )
    return max(finite) if direction == "maximize" else min(finite)


def _column(path: Path, name: str) -> list[Any]:
    if not path.exists():
        return []
    with path.open(newline="") as stream:
        return [row.get(name) for row in csv.DictReader(stream)]


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {}


def ended(path: Path) -> int | None:
    """The exit status that the guard wrote down; `None` where the run did not come to an end."""
    content = _read_json(path)
    return int(content["status"]) if content else None


def was_pruned(folder: Path) -> bool:
    """Whether the study stopped this run."""
    return (folder / PRUNED).exists()


def explain(status: int, log: Path) -> str:
    """Why a run failed: how it ended, and the last lines of its log."""
    how = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
    if status == -9:
        how += " (out of memory?)"
    lines = [line.rstrip() for line in _end_of(log).splitlines() if line.strip()]
    return "\n".join([how, *lines[-TAIL:]])[-LONGEST:]


def _end_of(log: Path, size: int = 8192) -> str:
    if not log.exists():
        return ""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - size))
        return stream.read().decode(errors="replace")
