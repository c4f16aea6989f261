"""`experiments/compare.py`: compare runs, print the verdict, write files and a page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lightning_brats.comparison.compare import compare
from lightning_brats.comparison.entries import load_entries, unfinished
from lightning_brats.comparison.loading import read_details
from lightning_brats.comparison.printing import print_comparison
from lightning_brats.comparison.result import Comparison
from lightning_brats.comparison.settings import Settings
from lightning_brats.comparison.writing import write_files
from lightning_brats.data.audit import check_writable
from lightning_brats.errors import ConfigError

CHOSEN = (
    "baseline",
    "resamples",
    "permutations",
    "alpha",
    "power",
    "seed",
    "on_mismatch",
    "common_cases",
)
"""Settings that the configuration names alike."""


def run(cfg: DictConfig) -> Comparison:
    """Compare `cfg.runs`; see `configs/compare.yaml`.

    Raises:
        BratsError: Something the user can put right.
    """
    given: Any = OmegaConf.to_container(cfg, resolve=True)
    paths, names = _paths(given["runs"], given["names"])
    settings = Settings(
        metrics=tuple(given["metrics"]),
        regions=tuple(given["regions"]) if given["regions"] else None,
        **{name: given[name] for name in CHOSEN},
    )
    output = Path(given["output"] or "comparison")
    check_writable(output)
    details = read_details(Path(given["cases"])) if given["cases"] else None
    entries = load_entries(paths, names, details)
    comparison = compare(entries, settings)
    written = write_files(comparison, output)
    print_comparison(comparison, output, written, unfinished(paths))
    if given["report"]:
        # Plotting takes a second to load.
        from lightning_brats.report.comparison import write_comparison

        print(f"  {write_comparison(output, comparison)}")
    return comparison


def _paths(runs: Any, names: list[str] | None) -> tuple[list[str], list[str] | None]:
    """Paths and their names, from a path, a list, or a map name → path."""
    if isinstance(runs, Mapping):
        if names:
            raise ConfigError(
                "the runs have names already", remedy="leave names= out, or list the paths"
            )
        return [str(path) for path in runs.values()], [str(name) for name in runs]
    return [str(path) for path in ([runs] if isinstance(runs, str) else runs or [])], names
