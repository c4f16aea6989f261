"""The recipes that are there, and their configurations."""

from functools import cache
from pathlib import Path

from hydra import compose, initialize_config_module
from omegaconf import DictConfig

import lightning_brats

FOLDER = Path(lightning_brats.__file__).parent / "configs" / "recipe"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
OURS = {"best", "best_postop", "nnunet_like"}
PRIOR = sorted(set(NAMES) - OURS)


@cache
def composed(name: str, *overrides: str) -> DictConfig:
    """The configuration of a recipe (`full/…` at full size), as a run would have it."""
    return composed_run(f"+recipe={name}", *overrides)


@cache
def composed_run(*overrides: str) -> DictConfig:
    """The configuration of a run."""
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        return compose("run", [*overrides, "model_name=x"])


def header(name: str) -> str:
    """The comment that a recipe begins with."""
    lines = (FOLDER / f"{name}.yaml").read_text().splitlines()
    end = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    return "\n".join(lines[1:end])
