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

import pandas as pd

from lightning_brats.comparison.words import plural

DOCS = Path(__file__).parent
RECIPES = DOCS.parent / "lightning_brats" / "configs" / "recipe"
PAGE = DOCS / "recipes.md"
COST, SCORE = "# Cost: ", "# Score seen, "
REGIONS = ("WT", "TC", "ET", "RC", "NETC", "SNFH")


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
    environment = json.loads((folder / "environment.json").read_text())
    scored = pd.read_csv(folder / "evaluation.csv")
    found = {
        "minutes": round(minutes, 1),
        "cores": environment["hardware"]["cores"],
        "cases": int(scored["case"].nunique()),
        "patients": int(scored["patient"].nunique()),
        "dice": dice_where_present(scored),
    }
    record.write_text(json.dumps(found, indent=1))
    return found


def dice_where_present(scored: pd.DataFrame) -> dict[str, list[float]]:
    """Region → mean Dice over the cases that have it, and how many these are.

    An empty mask of a case without a region has a Dice of 1, so that with few cases a mean over all
    would tell how many lack the region.

    Args:
        scored: Columns case, region, metric, value.
    """
    wide = scored.pivot_table(index=["case", "region"], columns="metric", values="value")
    there = wide[wide["volume_reference"] > 0].groupby("region")["dice"]
    return {str(region): [float(each.mean()), len(each)] for region, each in there}


def scores(found: dict[str, Any]) -> str:
    """`WT .80, TC .61, ET .55 (4 cases)`: the number where not all cases have the region."""
    told = []
    for region in REGIONS:
        if region in found["dice"]:
            mean, count = found["dice"][region]
            few = f" ({plural(count, 'case')})" * (count < found["cases"])
            told.append(f"{region} {mean:.2f}{few}".replace(" 0.", " ."))
    return ", ".join(told)


def seen(found: dict[str, Any]) -> str:
    """`5 phantom cases of 2 patients`."""
    of = f" of {plural(found['patients'], 'patient')}" * (found["patients"] < found["cases"])
    return f"{found['cases']} phantom cases{of}"


def write_head(name: str, found: dict[str, Any]) -> None:
    """Put cost and score into the recipe's file."""
    path = RECIPES / f"{name}.yaml"
    new = {
        COST: f"{found['minutes']:g} minutes on {found['cores']} cores, in miniature.",
        SCORE: f"on {seen(found)}: Dice {scores(found)}.",
    }
    text = path.read_text()
    for start, told in new.items():
        text = re.sub(f"^{start}.*$", start + told, text, flags=re.MULTILINE)
    path.write_text(text)


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
