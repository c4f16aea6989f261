"""By how much a refinement helps or hurts the network whose masks it started from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_brats.comparison.alignment import align
from lightning_brats.comparison.entries import load_entries
from lightning_brats.comparison.paired import compare_pairs
from lightning_brats.comparison.settings import Settings
from lightning_brats.report.wording import plural

NAMES = ("refined", "network")
DIGITS = {"dice": (3, ""), "hd95": (2, " mm")}
"""Metric → decimals shown, and unit."""
LABELS = {"dice": "Dice", "hd95": "HD95"}

Gains = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Metric → region → difference, low, high (95 % interval over patients), p, n."""


def gains(network: Path, refined: Path) -> Gains:
    """Refined minus network, paired by patient, with the statistics of `experiments/compare.py`.

    Args:
        network: Folder of its run.
        refined: Folder of the refinement's run, scored.
    """
    settings = Settings()
    aligned = align(load_entries([refined, network], NAMES), settings).ordered(NAMES)
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in compare_pairs(aligned, settings).to_dict("records"):
        found.setdefault(row["metric"], {})[row["region"]] = {
            "difference": round(row["difference"], 5),
            "low": round(row["low"], 5),
            "high": round(row["high"], 5),
            "p": round(row["p_wilcoxon"], 5),
            "n": int(row["n"]),
        }
    return found


def described(found: Gains) -> list[tuple[str, str]]:
    """For the page and the terminal: metric, and its change in every region."""
    return [
        (
            f"{LABELS[metric]}, refined − network",
            "; ".join(_one(metric, r, v) for r, v in own.items()),
        )
        for metric, own in found.items()
    ]


def _one(metric: str, region: str, values: Mapping[str, Any]) -> str:
    decimals, unit = DIGITS[metric]
    difference, low, high = (
        f"{values[name]:+.{decimals}f}".replace("-", "−") for name in ("difference", "low", "high")
    )
    patients = plural(values["n"], "patient")
    return f"{region} {difference}{unit} (95 % interval {low} to {high}, {patients})"
