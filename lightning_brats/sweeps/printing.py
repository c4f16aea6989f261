"""What a sweep says in the terminal."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from lightning_brats.sweeps.entries import OVERRIDES, Entry, State
from lightning_brats.sweeps.front import best, front
from lightning_brats.sweeps.ledger import Ledger
from lightning_brats.sweeps.owner import OWNER
from lightning_brats.sweeps.plan import Plan
from lightning_brats.sweeps.storage import shown_url
from lightning_brats.sweeps.worker import Slot

COLOURS = {"running": "cyan", "done": "green", "pruned": "yellow", "failed": "red"}
STATES: tuple[State, ...] = ("waiting", "running", "done", "pruned", "failed")
console = Console(highlight=False, soft_wrap=True)


def heading(plan: Plan, found: Sequence[Entry], added: int, slots: Sequence[Slot]) -> None:
    """What will run, where, on what."""
    over = sum(entry.state in ("done", "pruned", "failed") for entry in found)
    kind = "cells" if plan.space is None else "trials"
    console.print(f"[bold]{plan.name}[/]: {len(found)} {kind}, {over} over, {added} new")
    if plan.space is None:
        seeds, folds = (counted(len(plan.settings[f"{n}s"]), n) for n in ("seed", "fold"))
        console.print(f"  grid        {len(plan.cells) // len(plan.repeats)} choices", end="")
        console.print(f" × {seeds} × {folds}".replace(" × 0 folds", ""))
    else:
        console.print(f"  space       {', '.join(d.name for d in plan.space.dimensions)}")
    console.print(f"  budget      {plan.budget}")
    console.print(f"  objectives  {', '.join(f'{k} ({v})' for k, v in plan.objectives.items())}")
    gpus = ", ".join("+".join(slot.gpus) for slot in slots if slot.gpus)
    share = (
        f"GPUs {gpus}"
        if gpus
        else f"CPU, {counted(len(slots[0].cores), 'core') if slots[0].cores else 'all cores'} each"
    )
    console.print(f"  workers     {len(slots)} ({share})")
    console.print(f"  storage     {shown_url(plan.storage)}", markup=False)
    console.print(f"  results     {relative(plan.folder)}", markup=False)


def closing(ledger: Ledger) -> None:
    """The table, what failed and why, and how to compare."""
    found, plan = ledger.entries(), ledger.plan
    console.print()
    console.print(picture(plan, found))
    for entry in found:
        if entry.state == "failed":
            console.print(f"[red]trial {entry.root} failed[/]: ", end="")
            console.print(entry.error, markup=False)
    if any(entry.state == "done" for entry in found):
        console.print(f"  compare     python experiments/compare.py runs={relative(plan.folder)}")


def picture(plan: Plan, found: Sequence[Entry], rows: int | None = None) -> RenderableType:
    """Counts, the best, and a row a trial.

    Args:
        plan: Of the study.
        found: Its entries.
        rows: At most so many, newest and running ones first; none: all.
    """
    counts = Counter(entry.state for entry in found)
    said = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    winners = {entry.root for entry in front(found, plan.objectives)}
    lines: list[RenderableType] = [Text(f"{plan.name}: {said or 'nothing yet'}", style="bold")]
    table = Table()
    for name in ("trial", "state", *plan.objectives, "time", "choices"):
        numeric = name in ("trial", "time") or name in plan.objectives
        table.add_column(name, justify="right" if numeric else "left")
    common = _common(found)
    for entry in _pick(found, rows):
        colour = COLOURS.get(entry.state, "")
        cells = [_number(value) for value in entry.trial.values or []]
        cells += [""] * (len(plan.objectives) - len(cells))
        table.add_row(
            f"{entry.root}{' *' if entry.root in winners else ''}",
            Text(_state(entry), style=colour),
            *cells,
            _spent(entry),
            Text(" ".join(_choices(entry, common))),
        )
    lines.append(table)
    if rows is not None and len(found) > rows:
        lines.append(Text(f"… and {len(found) - rows} more"))
    if len(plan.objectives) > 1:
        lines.append(Text(f"* Pareto front: {len(winners)} trials none of the others beats in all"))
    elif top := best(found, plan.objectives):
        lines.append(Text(f"* best: trial {top.root}, {_number(top.trial.values[0])}"))
    return Group(*lines)


def counted(number: int, noun: str) -> str:
    """`1 seed`, `3 seeds`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def relative(path: Path) -> str:
    """Relative where that is shorter."""
    found = os.path.relpath(path)
    return found if len(found) < len(str(path)) else str(path)


def _pick(found: Sequence[Entry], rows: int | None) -> list[Entry]:
    if rows is None or len(found) <= rows:
        return list(found)
    order = {"running": 0, "failed": 1, "done": 2, "pruned": 2, "waiting": 3}
    chosen = sorted(found, key=lambda entry: (order[entry.state], -entry.root))[:rows]
    return sorted(chosen, key=lambda entry: entry.root)


def _state(entry: Entry) -> str:
    tries = f" (try {entry.kills + 1})" if entry.kills and entry.state != "failed" else ""
    host = entry.trial.user_attrs.get(OWNER, {}).get("host", "")
    return entry.state + tries + (f" on {host}" if entry.state == "running" and host else "")


def _spent(entry: Entry) -> str:
    seconds = entry.trial.duration.total_seconds() if entry.trial.duration else None
    if seconds is None:
        return ""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _choices(entry: Entry, common: set[str]) -> list[str]:
    if entry.trial.params:
        return [f"{name}={_number(value)}" for name, value in entry.trial.params.items()]
    return [text for text in entry.trial.user_attrs.get(OVERRIDES, []) if text not in common]


def _common(found: Sequence[Entry]) -> set[str]:
    """Overrides that say nothing, because all trials have them."""
    sets = [set(entry.trial.user_attrs.get(OVERRIDES, [])) for entry in found]
    return set.intersection(*sets) if len(sets) > 1 else set()


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
