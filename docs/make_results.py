"""Make the page on a study's result from the folder that experiments/compare.py wrote.

    python docs/make_results.py comparison                                      # results.md
    python docs/make_results.py comparison prior_systems "Prior systems"        # prior_systems.md

Beside the page goes its picture, pictures/<page>.svg.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from lightning_brats.comparison.words import (
    COST_NAMES,
    digits,
    metric_name,
    number,
    p_text,
    percent,
)
from lightning_brats.figures.comparison_style import COLOURS
from lightning_brats.figures.style import GREY, INK
from lightning_brats.metrics import METRICS

DOCS = Path(__file__).parent
MARK = "<!-- made by docs/make_results.py: change nothing here -->"
MARKERS = "osD^v*"
WHITE = "#FFFFFF"
SOURCES = "comparison.json", "table.md"
MANY = 6
"""Choices of which all pairs are listed; of more those with the baseline or the ranking's first."""
Rows = Sequence[Mapping[str, Any]]


def page(
    found: Mapping[str, Any], table: str, name: str = "results", title: str = "Results of a study"
) -> str:
    """The page.

    Args:
        found: Contents of `comparison.json`.
        table: Contents of `table.md`.
        name: Of the page's file.
        title: Of the page.
    """
    choices, entries = found["choices"], found["entries"]
    patients = max(int(row["n"]) for row in found["pairs"])
    beware = "\n".join(f"> **{warning}**" for warning in found["warnings"])
    parts = [
        MARK,
        f"# {title}",
        beware,
        f"{len(entries)} runs of {len(choices)} choices, scored on the same {patients} patients, "
        "compared by `experiments/compare.py`; this page is made from the files that it wrote. "
        "[What the statistics mean](fair_comparison.md).",
        "## Verdict",
        _listed(found["verdicts"]),
        "## Scores",
        table.strip(),
        f"![Mean of each choice with its 95 % interval](pictures/{name}.svg)",
        "Points are means, lines 95 % intervals over patients and seeds.",
        _cohorts(found["subgroups"]),
        "## Ranking",
        _ranking(found["ranking"]),
        "## Differences",
        _pairs(_listed_pairs(found)),
        "## Cost",
        _cost(found["cost"]),
        "## Where scores vary",
        _variance(found["variance"]),
        "## Methods",
        _listed(found["notes"]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _listed(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1) -> str:
    """Markdown; the first `texts` columns hold words, the others numbers."""
    ruler = ["---"] * texts + ["---:"] * (len(heads) - texts)
    return "\n".join(f"| {' | '.join(line)} |" for line in (heads, ruler, *rows))


def _ranking(ranking: Rows) -> str:
    rows = [
        [
            row["choice"],
            f"{row['rank']:.2f}",
            f"{row['low']:.2f} to {row['high']:.2f}",
            percent(row["first_share"]),
            "–" if row["p_next"] is None else p_text(row["p_next"]),
        ]
        for row in ranking
    ]
    return _table(["", "mean rank", "95 %", "first in", "against the next"], rows)


def _listed_pairs(found: Mapping[str, Any]) -> Rows:
    """Those with the baseline, or with the ranking's first, where there are many choices."""
    if len(found["choices"]) <= MANY:
        return found["pairs"]
    one = found["baseline"] or found["ranking"][0]["choice"]
    return [row for row in found["pairs"] if one in (row["a"], row["b"])]


def _cohorts(subgroups: Rows) -> str:
    """Mean Dice of each cohort's patients; nothing where there is one cohort."""
    rows = [row for row in subgroups if row["group"] == "cohort" and row["metric"] == "dice"]
    if not rows:
        return ""
    means = {(row["choice"], row["level"], row["region"]): row["mean"] for row in rows}
    choices, levels, regions = (list(dict.fromkeys(key[at] for key in means)) for at in range(3))
    sizes = ", ".join(f"{level} {_size(rows, level)}" for level in levels)
    heads = ["mean Dice", *(f"{level}: {region}" for level in levels for region in regions)]
    table = [
        [choice, *(f"{means[choice, level, region]:.3f}" for level in levels for region in regions)]
        for choice in choices
    ]
    return f"## By cohort\n\n{_table(heads, table)}\n\nPatients: {sizes}."


def _size(rows: Rows, level: str) -> int:
    return next(int(row["n"]) for row in rows if row["level"] == level)


def _pairs(pairs: Rows) -> str:
    rows = [
        [
            row["a"],
            row["b"],
            f"{row['region']} {metric_name(row['metric'])}",
            number(row["difference"], row["metric"]),
            " to ".join(number(_known(row[end]), row["metric"]) for end in ("low", "high")),
            p_text(_known(row["p_holm"])),
            "yes" if row["significant"] else "no",
        ]
        for row in pairs
    ]
    heads = ["a", "b", "score", "a − b", "95 %", "corrected", "shown"]
    return _table(heads, rows, texts=3)


def _cost(cost: Rows) -> str:
    names = [name for name in COST_NAMES if any(row.get(name) is not None for row in cost)]
    heads = ["", *(COST_NAMES[name] + UNITS.get(name, "") for name in names)]
    rows = [[row["choice"], *(_amount(row[name]) for name in names)] for row in cost]
    return _table(heads, rows)


UNITS = {
    "gflops_per_patch": " a patch",
    "train_seconds": " (s)",
    "inference_seconds_per_case": " (s a case)",
    "peak_memory_mb": " (MB)",
    "energy_kwh": " (kWh)",
}


def _amount(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _variance(variance: Rows) -> str:
    columns = list(dict.fromkeys(row["component"] for row in variance))
    cells = {
        (row["region"], row["metric"], row["component"]): _known(row["share"]) for row in variance
    }
    keys = list(dict.fromkeys((row["region"], row["metric"]) for row in variance))
    rows = [
        [
            f"{region} {metric_name(metric)}",
            *(_share(cells[region, metric, column]) for column in columns),
        ]
        for region, metric in keys
    ]
    return _table(["share of the variance", *columns], rows)


def _share(value: float) -> str:
    return "–" if value != value else percent(value)


def _known(value: float | str | None) -> float:
    """JSON has neither NaN nor infinity: unknown is null, infinite the word."""
    return math.nan if value is None else math.inf if value == "infinite" else float(value)


def draw(summary: Rows, choices: Sequence[str]) -> Figure:
    """Mean and interval of every choice, a panel a region and metric."""
    keys = list(dict.fromkeys((row["metric"], row["region"]) for row in summary))
    keys.sort(key=lambda key: list(METRICS).index(key[0]))
    columns = len({region for _, region in keys})
    lines = -(-len(keys) // columns)
    height = 0.75 + 0.22 * len(choices)
    figure = Figure((2.6 * columns + 0.8, height * lines), facecolor=WHITE, layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False, sharey=True).ravel()
    for axis, (metric, region) in zip(axes, keys, strict=False):
        for row in summary:
            if (row["metric"], row["region"]) == (metric, region):
                place = choices.index(row["choice"])
                colour = COLOURS[place % len(COLOURS)]
                axis.plot([_known(row["low"]), _known(row["high"])], [-place] * 2, color=colour)
                marker = MARKERS[place % len(MARKERS)]
                axis.plot(row["mean"], -place, marker, color=colour, ms=5)
        unit = f" ({METRICS[metric].unit})" if METRICS[metric].unit else ""
        axis.set_title(f"{region} {metric_name(metric)}{unit}", fontsize=9, color=INK)
        axis.set_yticks([-place for place in range(len(choices))], choices, fontsize=8)
        axis.tick_params(labelsize=8, color=GREY)
        axis.xaxis.set_major_formatter(f"{{x:.{min(digits(metric), 2)}f}}")
        axis.set_ylim(-len(choices) + 0.4, 0.6)
        for spine in axis.spines.values():
            spine.set_color(GREY)
    return figure


def main(arguments: Sequence[str]) -> None:
    """Write the page and its picture."""
    folder = Path(arguments[0]) if arguments else Path()
    missing = [name for name in SOURCES if not (folder / name).is_file()]
    if len(arguments) not in (1, 3) or missing:
        sys.exit(f"name the folder that experiments/compare.py wrote ({', '.join(SOURCES)})")
    found = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
    name = arguments[1] if len(arguments) == 3 else "results"
    text = page(found, (folder / "table.md").read_text(encoding="utf-8"), *arguments[1:])
    (DOCS / f"{name}.md").write_text(text, encoding="utf-8")
    mpl.rcParams.update({"svg.hashsalt": "lightning_brats", "svg.fonttype": "path"})
    picture = draw(found["summary"], found["choices"])
    picture.savefig(DOCS / "pictures" / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    main(sys.argv[1:])
