"""Run every recipe in miniature, and write into its head and recipes.md what it cost and scored.

    python docs/make_recipes.py runs/recipes [best msd_unet2d …]

Recipes whose run lies in that folder already are not run again. On a quiet machine: others' work
shows in the minutes.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
RECIPES = DOCS.parent / "lightning_brats" / "configs" / "recipe"
PAGE = DOCS / "recipes.md"
COST = "# Cost: "
REGIONS = ("WT", "TC", "ET", "RC")


def measured(name: str, runs: Path) -> dict[str, Any]:
    """Minutes, cores and scores of a recipe's run, which is made where it is missing.

    Args:
        name: Of the recipe.
        runs: Folder of the runs.
    """
    record = runs / f"{name}.json"
    if record.exists():
        return json.loads(record.read_text())
    began = time.monotonic()
    command = [sys.executable, "experiments/run.py", f"+recipe={name}", f"runs={runs}"]
    subprocess.run([*command, "tracking=none"], cwd=DOCS.parent, check=True)
    minutes = (time.monotonic() - began) / 60
    folder = max(path for path in (runs / name).iterdir() if path.is_dir())
    summary = json.loads((folder / "summary.json").read_text())
    environment = json.loads((folder / "environment.json").read_text())
    found = {
        "minutes": round(minutes, 1),
        "cores": environment["hardware"]["cores"],
        "cases": summary["test_cases"],
        "dice": {region: summary["regions"][region]["dice"] for region in summary["regions"]},
    }
    record.write_text(json.dumps(found, indent=1))
    return found


def scores(found: dict[str, Any]) -> str:
    """`WT .80, TC .61, ET .55`."""
    known = [region for region in REGIONS if region in found["dice"]]
    return ", ".join(f"{region} {found['dice'][region]:.2f}".replace("0.", ".") for region in known)


def write_head(name: str, found: dict[str, Any]) -> None:
    """Put cost and score into the recipe's file."""
    path = RECIPES / f"{name}.yaml"
    line = (
        f"{COST}{found['minutes']:g} minutes on {found['cores']} cores, in miniature. Score seen, "
        f"on {found['cases']} phantom cases: Dice {scores(found)}."
    )
    lines = [line if old.startswith(COST) else old for old in path.read_text().splitlines()]
    path.write_text("\n".join(lines) + "\n")


def write_row(name: str, found: dict[str, Any]) -> None:
    """Put them into the page's table, whose last two columns they are."""
    text = PAGE.read_text()
    row = re.search(rf"^\| `{name}` \|.*$", text, re.MULTILINE)
    if row is None:
        raise SystemExit(f"{PAGE} has no row of {name}")
    cells = row[0].split("|")[1:-3]
    cells += [f" {found['minutes']:g} ", f" {scores(found)} "]
    PAGE.write_text(text.replace(row[0], "|" + "|".join(cells) + "|"))


def main(folder: str, *names: str) -> None:
    """Run, and write."""
    runs = Path(folder).resolve()
    for name in names or sorted(path.stem for path in RECIPES.glob("*.yaml")):
        found = measured(name, runs)
        write_head(name, found)
        write_row(name, found)
        print(f"{name}: {found['minutes']:g} minutes, Dice {scores(found)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
