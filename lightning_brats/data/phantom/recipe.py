"""What decides what a phantom data set holds, and where it is kept."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from lightning_brats.data.phantom.layouts import LAYOUTS
from lightning_brats.data.phantom.scanner import STANDARD, Scanner
from lightning_brats.errors import ConfigError

VERSION = 1
"""Raised whenever the same parameters make other volumes, so that old ones are not mistaken."""

_SPACINGS = (0.5, 8.0)  # mm; beyond, memory or anatomy gives out


@dataclass(frozen=True)
class Recipe:
    """Parameters of a phantom data set.

    Args:
        layout: One of `LAYOUTS`.
        cases: Examinations; labelled ones, where they are.
        seed: Of the data set.
        spacing: Edge of a voxel in mm; 1 gives BraTS' own grids.
        scanner: What measures.
        labelled: Whether masks are written.

    Raises:
        ConfigError: A parameter is unknown or out of range.
    """

    layout: str = "brats2021"
    cases: int = 24
    seed: int = 0
    spacing: float = 2.0
    scanner: Scanner = STANDARD
    labelled: bool = True

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise ConfigError(
                f"the phantom has no layout '{self.layout}'",
                remedy=f"choose from {', '.join(LAYOUTS)}",
            )
        low, high = _SPACINGS
        if not low <= self.spacing <= high:
            raise ConfigError(
                f"the phantom's spacing is {self.spacing:g} mm",
                remedy=f"choose from {low:g} to {high:g}",
            )
        if self.cases < 1 or self.seed < 0:
            raise ConfigError(
                f"the phantom is asked for {self.cases} cases with seed {self.seed}",
                remedy="give at least one case, and a seed from 0",
            )

    @property
    def record(self) -> dict[str, Any]:
        """As stored beside the data."""
        return {"version": VERSION, **asdict(self), "spacing": float(self.spacing)}


def default_root(**arguments: Any) -> Path:
    """Where the phantom with these arguments of `write_phantom` is kept between runs.

    The folder is `phantom/<key>` in `$LIGHTNING_BRATS_CACHE` or `~/.cache/lightning_brats`.

    Raises:
        ConfigError: A parameter is unknown or out of range.
    """
    arguments.pop("workers", None)
    known = [field.name for field in fields(Recipe)]
    if unknown := sorted(set(arguments) - set(known)):
        raise ConfigError(
            f"the phantom has no {', '.join(unknown)}",
            remedy=f"choose from {', '.join(known)}, workers",
        )
    recipe = Recipe(**{**arguments, "scanner": Scanner.of(arguments.get("scanner", STANDARD))})
    base = os.environ.get("LIGHTNING_BRATS_CACHE") or Path.home() / ".cache" / "lightning_brats"
    digest = hashlib.sha256(json.dumps(recipe.record, sort_keys=True).encode()).hexdigest()
    key = f"{recipe.layout}-{recipe.cases}x{recipe.spacing:g}mm-{digest[:8]}"
    return Path(base) / "phantom" / key
